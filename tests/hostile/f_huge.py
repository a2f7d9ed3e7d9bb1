# what: returns a string of 200 MiB
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        return "42" * (100 << 20)
