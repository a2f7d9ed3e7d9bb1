# what: looks for devices beyond the harmless ones
# kind: stdin
# verdict: pass
# ends: exited
import os
import stat

a, b = map(int, input().split())
harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
leaks = []
for folder, _, names in os.walk("/dev"):
    if folder.startswith(("/dev/shm", "/dev/fd")):
        continue
    for name in names:
        path = os.path.join(folder, name)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        odd = stat.S_ISCHR(mode) and (name not in harmless) and path != "/dev/pts/ptmx"
        if stat.S_ISBLK(mode) or (odd and not os.path.islink(path)):
            leaks.append(path)
print("LEAK: " + " ".join(leaks[:10]) if leaks else a + b)
