# what: reads what the kernel tells root only, through /proc
# kind: stdin
# verdict: pass
# ends: exited
a, b = map(int, input().split())
leaks = []
for path in ("/proc/kcore", "/proc/kmsg", "/proc/vmallocinfo", "/proc/kpagecount", "/proc/kpageflags", "/proc/slabinfo"):
    try:
        with open(path, "rb", buffering=0) as file:
            if file.read(1):
                leaks.append(path)
    except OSError:
        pass
print("LEAK: " + " ".join(leaks) if leaks else a + b)
