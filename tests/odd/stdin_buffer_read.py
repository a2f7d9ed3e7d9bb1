# what: sys.stdin.buffer.read()
import sys

a, b = map(int, sys.stdin.buffer.read().split())
print(a + b)
