# what: the right answer, then abort
# kind: stdin
# verdict: fail
# ends: signal
import os

a, b = map(int, input().split())
print(a + b, flush=True)
os.abort()
