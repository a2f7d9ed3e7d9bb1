# what: recursion without end under the default limit
# kind: stdin
# verdict: fail
# ends: exited
def down(n):
    return down(n + 1) + 1


print(down(0))
