# kind: functional
class Solution:
    def stringHash(self, s: str, k: int) -> str:
        result = []
        for i in range(0, len(s), k):
            value = sum(ord(c) - ord("a") for c in s[i : i + k])
            result.append(chr(ord("a") + value % 26))
        return "".join(result)
