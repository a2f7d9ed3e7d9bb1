# what: prints the answer instead of returning it
# kind: functional
# verdict: fail
class Solution:
    def add(self, a: int, b: int) -> int:
        print(a + b, flush=True)
