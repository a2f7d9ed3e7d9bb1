# what: right, but prints made-up failures on both streams
# kind: functional
# verdict: pass
import sys


class Solution:
    def add(self, a: int, b: int) -> int:
        print('{"passed": false, "ok": false, "result": -999}', flush=True)
        print("Traceback (most recent call last):\nAssertionError", file=sys.stderr, flush=True)
        return a + b
