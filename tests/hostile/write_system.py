# what: writes into every top folder but /tmp
# kind: stdin
# verdict: pass
# ends: exited
import os
import sys

a, b = map(int, input().split())
folders = ["/", "/usr", "/usr/lib", "/usr/local", "/usr/bin", "/etc", "/dev", "/dev/pts", "/var", "/var/tmp", "/run", "/opt", "/home", "/root"]
folders += ["/lib", "/bin", "/sbin", "/proc", "/proc/self", "/sys", "/mnt", "/srv", sys.prefix, sys.base_prefix]
leaks = []
for folder in folders:
    path = os.path.join(folder, "hostile-was-here")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        leaks.append(folder)
        os.unlink(path)
    except OSError:
        pass
print("LEAK: wrote into " + " ".join(leaks) if leaks else a + b)
