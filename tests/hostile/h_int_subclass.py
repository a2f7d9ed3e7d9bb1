# what: returns a wrong int of a subclass that equals everything
# kind: humaneval
# verdict: fail
class Number(int):
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return 42

    def __sub__(self, other):
        return Number(0)

    __rsub__ = __sub__

    def __abs__(self):
        return 0


def add(a, b):
    return Number(-999)
