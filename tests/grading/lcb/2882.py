# kind: functional
class Solution:
    def numberOfWays(self, n: int, x: int) -> int:
        mod = 10**9 + 7
        ways = [1] + [0] * n
        base = 1
        while base**x <= n:
            power = base**x
            for total in range(n, power - 1, -1):
                ways[total] = (ways[total] + ways[total - power]) % mod
            base += 1
        return ways[n]
