# kind: functional
class Solution:
    def kthCharacter(self, k: int) -> str:
        return chr(ord("a") + bin(k).count("1") % 26)
