# what: two megabytes on stderr, then the answer
import sys

a, b = map(int, input().split())
for _ in range(2000):
    print("debug " * 170, file=sys.stderr)
print(a + b)
