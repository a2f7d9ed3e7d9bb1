# what: returns the right number as text
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        return str(a + b)
