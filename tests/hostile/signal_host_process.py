# what: asks whether it may signal a process of the host (signal 0 only), or anything at all
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
try:
    os.kill(int("@HOSTPID@"), 0)
    leaks.append("may signal @HOSTPID@")
except OSError:
    pass
try:
    os.getpgid(int("@HOSTPID@"))
    leaks.append("sees the group of @HOSTPID@")
except OSError:
    pass
reached = 0
for pid in range(2, 3000):
    try:
        os.kill(pid, 0)
        reached += 1
    except ProcessLookupError:
        pass
    except PermissionError:
        reached += 1
if reached > 6:
    leaks.append(f"{reached} processes can be named")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
