# what: plainly wrong, for comparison
# kind: humaneval
# verdict: fail
def add(a, b):
    return a - b
