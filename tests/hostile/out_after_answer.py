# what: the right answer, then a flood
# kind: stdin
# verdict: fail
# ends: output
import os

a, b = map(int, input().split())
print(a + b, flush=True)
for _ in range(200):
    os.write(1, b"0\n" * (1 << 19))
