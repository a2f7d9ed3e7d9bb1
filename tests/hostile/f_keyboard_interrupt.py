# what: leaves the function by KeyboardInterrupt
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        raise KeyboardInterrupt
