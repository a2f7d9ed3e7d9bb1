# what: returns an integer of thirty million digits, slow to print and refused by the limit on digits
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        return 1 << 100_000_000
