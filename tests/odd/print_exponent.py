# what: the number in scientific notation (equal as decimal numbers)
a, b = map(int, input().split())
print(f"{a + b:.3e}")
