# what: the right answer, then an uncaught exception
# kind: stdin
# verdict: fail
# ends: exited
a, b = map(int, input().split())
print(a + b)
raise ValueError("after the answer")
