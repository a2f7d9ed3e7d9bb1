# what: one power of big integers that takes minutes in C
# kind: stdin
# verdict: fail
# ends: cpu | wall
import signal

signal.alarm(30)
print((7**200_000_000) % 10)
