# kind: functional
import collections


class Solution:
    def minOperations(self, nums: "List[int]") -> int:
        counts = collections.Counter(nums).values()
        if 1 in counts:
            return -1
        return sum((c + 2) // 3 for c in counts)
