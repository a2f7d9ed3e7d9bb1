# kind: functional
import itertools


class Solution:
    def maxGoodNumber(self, nums):
        parts = [f"{x:b}" for x in nums]
        return max(int("".join(p), 2) for p in itertools.permutations(parts))
