# what: opens files until it is refused
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
held = []
try:
    while len(held) < 20_000:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
print(a + b)
