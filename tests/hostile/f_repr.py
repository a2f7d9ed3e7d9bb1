# what: returns an object whose text never ends
# kind: functional
# verdict: fail
import time


class Slow:
    def __repr__(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pass
        return "42"

    __str__ = __repr__

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class Solution:
    def add(self, a: int, b: int) -> int:
        return Slow()
