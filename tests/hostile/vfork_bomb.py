# what: vfork through ctypes; the child shares the memory of its parent and executes a sleeper
# kind: stdin
# verdict: fail
# ends: any
import ctypes
import os
import signal
import sys

signal.alarm(30)
libc = ctypes.PyDLL(None)  # keeps the interpreter's lock, which the child shares
command = [sys.executable, "-S", "-c", "import time; time.sleep(12)"]
made = 0
while made < 120:
    pid = libc.vfork()
    if pid == 0:
        try:
            os.execv(command[0], command)
        finally:
            os._exit(1)
    if pid < 0:
        break
    made += 1
if made > 100:
    print("LEAK:", made, "processes at once", flush=True)
