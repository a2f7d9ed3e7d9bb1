# what: converts a huge integer to decimal, quadratic in C
# kind: stdin
# verdict: fail
# ends: cpu | wall
import signal
import sys

signal.alarm(30)
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)
print(len(str(1 << 60_000_000)))
