# what: catastrophic backtracking inside the regex engine, which no Python signal handler interrupts
# kind: stdin
# verdict: fail
# ends: cpu | wall
import re
import signal

signal.alarm(30)
print(re.match(r"(a|aa|a?a)+$", "a" * 60 + "b"))
