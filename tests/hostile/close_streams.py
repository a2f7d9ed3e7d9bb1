# what: closes stdout before it answers
# kind: stdin
# verdict: fail
# ends: exited
import os

a, b = map(int, input().split())
os.close(1)
print(a + b)
