# what: overflows the C stack by a recursion through repr
# kind: stdin
# verdict: fail
# ends: signal | memory | exited
import signal
import sys

signal.alarm(30)
sys.setrecursionlimit(10**8)


class Deep:
    def __repr__(self):
        return repr(self)


print(repr(Deep()))
