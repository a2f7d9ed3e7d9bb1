# what: plainly wrong, for comparison
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        return a - b
