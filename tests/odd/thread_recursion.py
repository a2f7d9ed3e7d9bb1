# what: deep recursion in a thread with a stack of 64 MiB
import sys
import threading

sys.setrecursionlimit(10**6)
threading.stack_size(64 << 20)


def depth(n):
    return 0 if n == 0 else depth(n - 1) + 1


def main():
    a, b = map(int, input().split())
    print(depth(50_000) - 50_000 + a + b)


thread = threading.Thread(target=main)
thread.start()
thread.join()
