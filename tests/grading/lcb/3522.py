# kind: functional
from typing import List


class Solution:
    def resultsArray(self, nums: List[int], k: int) -> List[int]:
        def power(i):
            window = nums[i : i + k]
            if all(q == p + 1 for p, q in zip(window, window[1:])):
                return window[-1]
            return -1

        return tuple(power(i) for i in range(len(nums) - k + 1))
