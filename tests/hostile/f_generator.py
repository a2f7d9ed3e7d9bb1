# what: returns a generator, a coroutine's object and a function by turns
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        if a > 0:
            return (number for number in [a + b])
        return lambda: a + b
