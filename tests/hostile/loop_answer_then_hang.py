# what: the right answer, then an endless sleep
# kind: stdin
# verdict: fail
# ends: wall
import time

a, b = map(int, input().split())
print(a + b, flush=True)
time.sleep(30)
