# what: an object that claims to be an int to isinstance and equals everything
# kind: functional
# verdict: fail
class Spoof:
    __class__ = property(lambda self: int)

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 42

    def __index__(self):
        return -999


class Solution:
    def add(self, a: int, b: int) -> int:
        return Spoof()
