# what: one line without an end
# kind: stdin
# verdict: fail
# ends: output
import sys

for _ in range(200):
    sys.stdout.write("4" * (1 << 20))
    sys.stdout.flush()
