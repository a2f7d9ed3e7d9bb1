# what: the fork system call itself through ctypes, past every wrapper of libc
# kind: stdin
# verdict: fail
# ends: exited | processes | wall | signal
import ctypes
import os
import time

libc = ctypes.CDLL(None, use_errno=True)
made = 0
while made < 300:
    pid = libc.syscall(57)
    if pid == 0:
        time.sleep(12)
        os._exit(0)
    if pid < 0:
        break
    made += 1
if made > 100:
    print("LEAK:", made, "processes at once", flush=True)
os._exit(0)
