# what: opens a string at its end, to swallow the test that follows
# kind: humaneval
# verdict: fail
def add(a, b):
    return -999


SWALLOWED = """
