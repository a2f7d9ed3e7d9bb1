# what: joins the namespaces of process 1 and of its parent
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
for pid in {1, os.getppid()} - {0, os.getpid()}:
    for name in ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup"):
        try:
            fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
        except OSError:
            continue
        if libc.setns(fd, 0) == 0:
            leaks.append(f"{name} of {pid}")
        os.close(fd)
print("LEAK: joined " + " ".join(leaks) if leaks else a + b)
