# kind: functional
from collections import Counter
from typing import List


class Solution:
    def winningPlayerCount(self, n: int, pick: List[List[int]]) -> int:
        counts = Counter((x, y) for x, y in pick)
        return len({x for (x, _), c in counts.items() if c > x})
