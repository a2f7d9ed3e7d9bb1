# what: addresses of the kernel
# kind: stdin
# verdict: pass
# ends: exited
a, b = map(int, input().split())
leak = False
try:
    with open("/proc/kallsyms") as file:
        for _, line in zip(range(200), file):
            leak = leak or int(line.split()[0], 16) > 1 << 32
except OSError:
    pass
print("LEAK: /proc/kallsyms shows addresses" if leak else a + b)
