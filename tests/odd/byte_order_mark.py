# what: a byte order mark at the start of the source
a, b = map(int, input().split())
print(a + b)
