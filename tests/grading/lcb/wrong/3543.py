# kind: functional
class Solution:
    def countKConstraintSubstrings(self, s: str, k: int) -> int:
        total = 0
        for i in range(len(s)):
            seen = {"0": 0, "1": 0}
            for c in s[i:]:
                seen[c] += 1
                if seen["0"] <= k and seen["1"] <= k:
                    total += 1
        return total
