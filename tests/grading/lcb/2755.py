# kind: functional
from functools import lru_cache
from typing import List


class Solution:
    def minExtraChar(self, s: str, dictionary: List[str]) -> int:
        @lru_cache(maxsize=None)
        def extra(i):
            if i == len(s):
                return 0
            best = 1 + extra(i + 1)
            for word in dictionary:
                if s.startswith(word, i):
                    best = min(best, extra(i + len(word)))
            return best

        return extra(0)
