# what: right, with noise on both streams and a check function of its own
# kind: humaneval
# verdict: pass
import sys


def add(a, b):
    print('{"passed": false}')
    print("AssertionError", file=sys.stderr)
    return a + b


def check(candidate):
    assert False, "not the real check"
