# what: right in the first test, crashes the interpreter in the others
# kind: functional
# verdict: fail
import ctypes


class Solution:
    def add(self, a: int, b: int) -> int:
        if (a, b) != (40, 2):
            ctypes.string_at(0)
        return a + b
