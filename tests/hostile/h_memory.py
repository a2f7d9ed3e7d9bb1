# what: takes 3 GiB inside the function
# kind: humaneval
# verdict: fail
def add(a, b):
    held = [b"x" * (16 << 20) for _ in range(192)]
    return "LEAK" if held else a + b
