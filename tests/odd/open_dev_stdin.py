# what: open('/dev/stdin')
with open("/dev/stdin") as file:
    a, b = map(int, file.readline().split())
print(a + b)
