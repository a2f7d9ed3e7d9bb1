# what: the right answer and exit code 1
# kind: stdin
# verdict: fail
# ends: exited
import sys

a, b = map(int, input().split())
print(a + b)
sys.exit(1)
