# what: NULs around the answer
# kind: stdin
# verdict: fail
# ends: exited
a, b = map(int, input().split())
print(f"\0{a + b}\0")
