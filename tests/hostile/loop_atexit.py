# what: hangs in an exit handler, after the right answer
# kind: stdin
# verdict: fail
# ends: wall
import atexit
import time

a, b = map(int, input().split())
print(a + b, flush=True)
atexit.register(time.sleep, 30)
