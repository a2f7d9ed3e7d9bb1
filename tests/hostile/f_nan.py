# what: returns not-a-number
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        return float("nan")
