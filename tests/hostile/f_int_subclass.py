# what: returns a wrong int of a subclass that equals everything and prints as the right one
# kind: functional
# verdict: fail
class Number(int):
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return 42

    def __repr__(self):
        return "42"

    __str__ = __repr__

    def __index__(self):
        return 42

    __int__ = __index__


class Solution:
    def add(self, a: int, b: int) -> int:
        return Number(-999)
