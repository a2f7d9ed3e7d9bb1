# kind: stdin
import sys

n, *a = map(int, sys.stdin.read().split())
even, odd = 0, float("-inf")
for x in a[:n]:
    even, odd = max(even, odd + 2 * x), max(odd, even + x)
print(max(even, odd))
