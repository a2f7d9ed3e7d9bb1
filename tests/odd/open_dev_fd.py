# what: open('/dev/fd/0') and /proc/self/fd/1
with open("/dev/fd/0") as source:
    a, b = map(int, source.read().split())
with open("/proc/self/fd/1", "w") as sink:
    sink.write(f"{a + b}\n")
