# kind: functional
from bisect import bisect_right
from itertools import accumulate
from typing import List


class Solution:
    def gcdValues(self, nums: List[int], queries: List[int]) -> List[int]:
        top = max(nums)
        count = [0] * (top + 1)
        for x in nums:
            count[x] += 1
        pairs = [0] * (top + 1)
        for g in range(top, 0, -1):
            multiples = sum(count[g::g])
            pairs[g] = multiples * (multiples - 1) // 2 - sum(pairs[2 * g :: g])
        upto = list(accumulate(pairs))
        return [bisect_right(upto, q) for q in queries]
