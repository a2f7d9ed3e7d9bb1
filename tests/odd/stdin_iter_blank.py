# what: iter(input, '') ended by an empty line
# input: '1 2\n3 4\n\nnever read\n'
# output: '3\n7\n'
for line in iter(input, ""):
    print(sum(map(int, line.split())))
