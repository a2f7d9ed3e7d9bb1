# kind: functional
from itertools import accumulate


class Solution:
    def findMaximumScore(self, nums):
        return sum(accumulate(nums[:-1], max))
