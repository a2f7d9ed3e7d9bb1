# what: writes to open('/dev/stdout', 'w')
a, b = map(int, input().split())
with open("/dev/stdout", "w") as file:
    print(a + b, file=file)
