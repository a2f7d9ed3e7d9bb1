# kind: stdin
import sys


def main():
    it = map(int, sys.stdin.read().split())
    n = next(it)
    k = next(it)
    degree = [0] * (n + 1)
    link = [0] * (n + 1)  # XOR of the neighbours still there
    for _ in range(n - 1):
        a = next(it)
        b = next(it)
        degree[a] += 1
        degree[b] += 1
        link[a] ^= b
        link[b] ^= a
    keep = [False] * (n + 1)
    for _ in range(k):
        keep[next(it)] = True
    left = n
    leaves = [v for v in range(1, n + 1) if degree[v] == 1 and not keep[v]]
    while leaves:
        v = leaves.pop()
        left -= 1
        parent = link[v]
        link[parent] ^= v
        degree[parent] -= 1
        if degree[parent] == 1 and not keep[parent]:
            leaves.append(parent)
    print(left)


main()
