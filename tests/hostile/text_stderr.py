# what: the answer on stderr
# kind: stdin
# verdict: fail
# ends: exited
import sys

a, b = map(int, input().split())
print(a + b, file=sys.stderr)
