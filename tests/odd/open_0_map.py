# what: map(int, open(0)) on one number a line
# input: '40\n2\n'
print(sum(map(int, open(0))))
