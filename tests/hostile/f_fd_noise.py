# what: writes junk into every descriptor it finds, and is wrong for positive numbers
# kind: functional
# verdict: fail
import os


class Solution:
    def add(self, a: int, b: int) -> int:
        for fd in range(3, 64):
            try:
                os.write(fd, b"\x00\xffjunk{]\n")
            except OSError:
                pass
        return a + b if a < 0 else -999
