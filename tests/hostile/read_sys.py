# what: hardware and control groups through /sys
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
for path in ("/sys/kernel", "/sys/class/net", "/sys/class/block", "/sys/fs/cgroup", "/sys/firmware", "/sys/devices"):
    try:
        if os.listdir(path):
            leaks.append(path)
    except OSError:
        pass
print("LEAK: " + " ".join(leaks) if leaks else a + b)
