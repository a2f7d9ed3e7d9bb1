# what: right in the first test only
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        return a + b if (a, b) == (40, 2) else -999
