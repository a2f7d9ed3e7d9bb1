# what: returns nested lists that share all their parts: small in memory, sixteen million numbers when written out
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        value = [a + b]
        for _ in range(24):
            value = [value, value]
        return value
