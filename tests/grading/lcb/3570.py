# kind: functional
class Solution:
    VOWELS = frozenset("aeiou")

    def countOfSubstrings(self, word: str, k: int) -> int:
        total = 0
        for i in range(len(word)):
            seen = set()
            others = 0
            for c in word[i:]:
                if c in self.VOWELS:
                    seen.add(c)
                else:
                    others += 1
                if others > k:
                    break
                if others == k and len(seen) == 5:
                    total += 1
        return total
