# what: a user namespace through clone3, whose flags a filter cannot read
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os
import signal
import struct

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
arguments = ctypes.create_string_buffer(struct.pack("8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
child = libc.syscall(435, arguments, ctypes.c_size_t(64))
if child == 0:
    os._exit(0)
if child > 0:
    os.waitpid(child, 0)
print("LEAK: clone3 gave a user namespace" if child > 0 else a + b)
