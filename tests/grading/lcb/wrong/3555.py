# kind: functional
class Solution:
    def getFinalState(self, nums: List[int], k: int, multiplier: int) -> List[int]:
        for _ in range(k):
            low = min(nums)
            last = max(i for i, x in enumerate(nums) if x == low)
            nums[last] *= multiplier
        return nums
