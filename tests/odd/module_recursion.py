# what: recursion at module level, with the default limit raised a little
import sys

sys.setrecursionlimit(10_000)
a, b = map(int, input().split())


def add(x, y):
    return x if y == 0 else add(x + 1, y - 1)


print(add(a, b) + add(0, 5000) - 5000)
