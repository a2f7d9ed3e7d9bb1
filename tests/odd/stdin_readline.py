# what: input replaced by sys.stdin.readline
import sys

input = sys.stdin.readline
a, b = [int(x) for x in input().strip().split()]
print(a + b)
