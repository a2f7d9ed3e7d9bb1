# what: returns a list that contains itself
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        value = [a + b]
        value.append(value)
        return value
