# what: open(0) as an iterable
print(sum(sum(map(int, line.split())) for line in open(0)))
