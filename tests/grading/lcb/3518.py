# kind: functional
class Solution:
    def maxScore(self, a: List[int], b: List[int]) -> int:
        best = [0] + [-inf] * 4
        for y in b:
            for i in range(3, -1, -1):
                best[i + 1] = max(best[i + 1], best[i] + a[i] * y)
        return best[4]
