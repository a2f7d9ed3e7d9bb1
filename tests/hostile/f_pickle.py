# what: returns an object that opens a host file for writing when it is unpickled
# kind: functional
# verdict: fail
class Bomb:
    def __reduce__(self):
        return (open, ("@OUTSIDE@/unpickled", "w"))


class Solution:
    def add(self, a: int, b: int) -> int:
        return Bomb()
