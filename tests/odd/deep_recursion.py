# what: recursion a hundred thousand deep
import sys

sys.setrecursionlimit(10**6)


def depth(n):
    if n == 0:
        return 0
    return depth(n - 1) + 1


a, b = map(int, input().split())
print(depth(100_000) - 100_000 + a + b)
