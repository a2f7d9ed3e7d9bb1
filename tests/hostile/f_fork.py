# what: returns twice: the child gives one answer and the parent another
# kind: functional
# verdict: fail
import os


class Solution:
    def add(self, a: int, b: int) -> int:
        if os.fork() == 0:
            return -998
        return -999
