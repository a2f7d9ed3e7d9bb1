# kind: functional
class Solution:
    def minTimeToReach(self, moveTime: List[List[int]]) -> int:
        n, m = len(moveTime), len(moveTime[0])
        done = set()
        heap = [(0, 0, 0)]
        while heap:
            t, i, j = heappop(heap)
            if (i, j) == (n - 1, m - 1):
                return t
            if (i, j) in done:
                continue
            done.add((i, j))
            for x, y in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if 0 <= x < n and 0 <= y < m and (x, y) not in done:
                    heappush(heap, (max(t, moveTime[x][y]) + 1, x, y))
        return -1
