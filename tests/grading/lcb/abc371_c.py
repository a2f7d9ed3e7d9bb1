# kind: stdin
from itertools import combinations, permutations


def read_graph(n):
    adj = [[False] * n for _ in range(n)]
    for _ in range(int(input())):
        u, v = map(int, input().split())
        adj[u - 1][v - 1] = adj[v - 1][u - 1] = True
    return adj


n = int(input())
g = read_graph(n)
h = read_graph(n)
cost = [[0] * n for _ in range(n)]
for i in range(n - 1):
    for j, c in enumerate(map(int, input().split()), start=i + 1):
        cost[i][j] = cost[j][i] = c

pairs = list(combinations(range(n), 2))
best = None
for p in permutations(range(n)):
    paid = 0
    for i, j in pairs:
        if g[i][j] != h[p[i]][p[j]]:
            paid += cost[p[i]][p[j]]
    if best is None or paid < best:
        best = paid
print(best)
