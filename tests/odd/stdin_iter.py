# what: iter(input, '') ended by an EOFError
# input: '1 2\n3 4\n'
# output: '3\n7\n'
try:
    for line in iter(input, ""):
        a, b = map(int, line.split())
        print(a + b)
except EOFError:
    pass
