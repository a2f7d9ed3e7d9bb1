# what: opens its streams anew through /proc/self/fd, which gives a file behind them with other rights
# kind: stdin
# verdict: pass
# ends: exited
import os
import stat

a, b = map(int, input().split())
leaks = []
for fd in (0, 1, 2):
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        continue
    try:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR))
        leaks.append(f"{fd} is a file that may be written")
    except OSError:
        pass
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
