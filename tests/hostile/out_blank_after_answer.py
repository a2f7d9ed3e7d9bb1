# what: the right answer, then 200 MiB of blanks that a lenient comparison strips
# kind: stdin
# verdict: fail
# ends: output
import os

a, b = map(int, input().split())
print(a + b, flush=True)
for _ in range(200):
    os.write(1, b" \n" * (1 << 19))
