# kind: functional
from collections import deque
from typing import List


class Solution:
    def findSafeWalk(self, grid: List[List[int]], health: int) -> bool:
        m, n = len(grid), len(grid[0])
        cost = [[float("inf")] * n for _ in range(m)]
        cost[0][0] = grid[0][0]
        queue = deque([(0, 0)])
        while queue:
            i, j = queue.popleft()
            for x, y in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if not (0 <= x < m and 0 <= y < n):
                    continue
                new = cost[i][j] + grid[x][y]
                if new < cost[x][y]:
                    cost[x][y] = new
                    if grid[x][y]:
                        queue.append((x, y))
                    else:
                        queue.appendleft((x, y))
        return cost[-1][-1] < health
