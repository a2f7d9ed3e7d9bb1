# what: a shared mapping filled part by part by children that exit again, so that no process ever holds much
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | wall
import mmap
import os
import signal

signal.alarm(30)
size = 1536 << 20
shared = mmap.mmap(-1, size)
part = 96 << 20
filled = 0
for start in range(0, size, part):
    pid = os.fork()
    if pid == 0:
        for at in range(start, start + part, 1 << 20):
            shared[at : at + (1 << 20)] = b"x" * (1 << 20)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        break
    filled += part
if filled == size:
    print("LEAK: filled", filled >> 20, "MiB of shared memory", flush=True)
