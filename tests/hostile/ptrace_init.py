# what: attaches a debugger to process 1 and to its parent
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
for pid in {1, os.getppid(), int("@HOSTPID@")} - {0, os.getpid()}:
    if libc.ptrace(0x4206, pid, None, None) == 0:
        leaks.append(str(pid))
        libc.ptrace(17, pid, None, None)
print("LEAK: attached to " + " ".join(leaks) if leaks else a + b)
