# what: right in the first test, never returns in the others
# kind: functional
# verdict: fail
import time


class Solution:
    def add(self, a: int, b: int) -> int:
        if (a, b) != (40, 2):
            end = time.monotonic() + 30
            while time.monotonic() < end:
                pass
        return a + b
