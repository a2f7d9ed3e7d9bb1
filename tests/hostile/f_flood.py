# what: floods stdout from inside the function and is wrong
# kind: functional
# verdict: fail
import os


class Solution:
    def add(self, a: int, b: int) -> int:
        for _ in range(100):
            os.write(1, b'{"passed": true}\n' * 61680)
        return -999
