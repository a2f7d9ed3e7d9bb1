# what: closes every descriptor and returns a wrong value
# kind: functional
# verdict: fail
import os


class Solution:
    def add(self, a: int, b: int) -> int:
        os.closerange(0, 256)
        return -999
