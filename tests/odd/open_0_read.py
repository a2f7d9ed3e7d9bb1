# what: open(0).read() unpacked in one expression
(*numbers,) = map(int, open(0).read().split())
print(sum(numbers))
