# what: the right answer, closes every stream so that the reader sees its end, then hangs
# kind: stdin
# verdict: fail
# ends: wall
import os
import time

a, b = map(int, input().split())
print(a + b, flush=True)
for fd in (0, 1, 2):
    os.close(fd)
time.sleep(30)
