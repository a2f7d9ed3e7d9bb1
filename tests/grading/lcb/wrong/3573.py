# kind: functional
class Solution:
    def validSubstringCount(self, word1: str, word2: str) -> int:
        need = Counter(word2)
        missing = len(word2)
        left = 0
        total = 0
        for c in word1:
            if need[c] > 0:
                missing -= 1
            need[c] -= 1
            if missing == 0:
                need[word1[left]] += 1
                if need[word1[left]] > 0:
                    missing += 1
                left += 1
            total += left
        return total
