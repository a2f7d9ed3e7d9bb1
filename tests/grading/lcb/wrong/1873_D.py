# kind: stdin
import sys

input = sys.stdin.readline


def solve():
    n, k = map(int, input().split())
    s = input()
    i = count = 0
    while i < n:
        if s[i] == "B":
            count += 1
            i += k + 1
        else:
            i += 1
    return count


print(*(solve() for _ in range(int(input()))), sep="\n")
