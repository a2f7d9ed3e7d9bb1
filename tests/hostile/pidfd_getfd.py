# what: takes descriptors out of process 1 and out of its parent
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
for pid in {1, os.getppid()} - {0, os.getpid()}:
    handle = libc.syscall(434, pid, 0)
    if handle < 0:
        continue
    for number in range(16):
        fd = libc.syscall(438, handle, number, 0)
        if fd >= 0:
            leaks.append(f"{number} of {pid}")
            os.close(fd)
    os.close(handle)
print("LEAK: took descriptors " + " ".join(leaks) if leaks else a + b)
