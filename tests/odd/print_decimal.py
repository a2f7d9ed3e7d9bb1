# what: 42.0 for 42 (equal as decimal numbers)
a, b = map(float, input().split())
print(a + b)
