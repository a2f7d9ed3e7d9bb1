# what: functools.lru_cache on a recursive function
import sys
from functools import lru_cache

sys.setrecursionlimit(5000)


@lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


a, b = map(int, input().split())
print(a + b + fib(300) - fib(299) - fib(298))
