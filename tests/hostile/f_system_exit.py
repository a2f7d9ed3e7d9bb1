# what: leaves the function by SystemExit(0)
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        raise SystemExit(0)
