# what: a list that equals everything and never stops yielding
# kind: functional
# verdict: fail
import time


class Endless(list):
    def __eq__(self, other):
        return True

    def __iter__(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            yield 42


class Solution:
    def add(self, a: int, b: int) -> int:
        return Endless([42])
