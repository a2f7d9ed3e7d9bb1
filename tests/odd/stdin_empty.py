# what: needs no input
# input: ''
print(42)
