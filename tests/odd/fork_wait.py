# what: a forked child prints the answer and the parent waits for it
import os

a, b = map(int, input().split())
if os.fork() == 0:
    print(a + b, flush=True)
    os._exit(0)
os.wait()
