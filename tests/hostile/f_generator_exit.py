# what: leaves the function by GeneratorExit, then by a BaseException of its own that cannot be printed
# kind: functional
# verdict: fail
class Silent(BaseException):
    def __str__(self):
        raise GeneratorExit

    __repr__ = __str__


class Solution:
    def add(self, a: int, b: int) -> int:
        if a > 0:
            raise GeneratorExit
        raise Silent
