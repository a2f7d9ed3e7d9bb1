# what: if stdout is a file, makes it a terabyte long; else harmless
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leak = None
for fd in (1, 2):
    try:
        os.ftruncate(fd, 1 << 40)
        leak = f"descriptor {fd} could be made a terabyte long"
        os.ftruncate(fd, 0)
    except OSError:
        pass
print("LEAK: " + leak if leak else a + b)
