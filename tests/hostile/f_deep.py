# what: returns a list nested two hundred thousand deep
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        value = a + b
        for _ in range(200_000):
            value = [value]
        return value
