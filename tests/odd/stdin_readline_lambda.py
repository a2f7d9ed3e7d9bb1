# what: input replaced by a lambda that strips
import sys

input = lambda: sys.stdin.readline().rstrip("\r\n")
II = lambda: map(int, input().split())
a, b = II()
print(a + b)
