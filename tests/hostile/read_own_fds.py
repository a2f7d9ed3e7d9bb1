# what: looks for descriptors that the sandbox forgot to close, and climbs out through folders among them
# kind: stdin
# verdict: pass
# ends: exited
import os
import stat

a, b = map(int, input().split())
documented = {0, 1, 2}
leaks = []
for fd in range(1024):
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        continue
    if fd not in documented:
        leaks.append(f"{fd} is open: {os.readlink(f'/proc/self/fd/{fd}')}")
    if stat.S_ISDIR(mode):
        try:
            os.close(os.open("../" * 20 + "@CANARY@".lstrip("/"), os.O_RDONLY, dir_fd=fd))
            leaks.append(f"climbed out through {fd}")
        except OSError:
            pass
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
