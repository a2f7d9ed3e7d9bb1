# what: process_vm_readv and kcmp on process 1 and on its parent
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import errno
import os

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


leaks = []
buffer = ctypes.create_string_buffer(64)
local = Vector(ctypes.addressof(buffer), 64)
for pid in {1, os.getppid()} - {0, os.getpid()}:
    remote = Vector(0x400000, 64)
    ctypes.set_errno(0)
    got = libc.syscall(310, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    if got > 0 or ctypes.get_errno() == errno.EFAULT:
        leaks.append(f"may read the memory of {pid}")
    if libc.syscall(312, os.getpid(), pid, 2, 0, 0) >= 0:
        leaks.append(f"may compare itself with {pid}")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
