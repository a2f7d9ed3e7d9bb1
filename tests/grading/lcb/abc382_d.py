# kind: stdin
import sys

n, m = map(int, sys.stdin.buffer.readline().split())
found = []
chosen = []


def place(i, lowest):
    if i == n:
        found.append(" ".join(map(str, chosen)))
        return
    for value in range(lowest, m - 10 * (n - 1 - i) + 1):
        chosen.append(value)
        place(i + 1, value + 10)
        chosen.pop()


place(0, 1)
print(len(found))
print("\n".join(found))
