# what: leaves the function by KeyboardInterrupt or GeneratorExit
# kind: humaneval
# verdict: fail
def add(a, b):
    raise KeyboardInterrupt if a > 0 else GeneratorExit
