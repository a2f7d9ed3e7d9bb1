# kind: functional
class Solution:
    def countWays(self, nums: List[int]) -> int:
        nums.sort()
        n = len(nums)
        ways = 0
        for chosen in range(n + 1):
            below = chosen == 0 or nums[chosen - 1] < chosen
            above = chosen == n or nums[chosen] > chosen
            ways += below and above
        return ways
