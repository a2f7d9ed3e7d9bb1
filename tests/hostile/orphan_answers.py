# what: the program ends at once; a child it left would print the answer later
# kind: stdin
# verdict: fail
# ends: exited
import os
import time

a, b = map(int, input().split())
if os.fork() == 0:
    time.sleep(3)
    print(a + b, flush=True)
    os._exit(0)
os._exit(0)
