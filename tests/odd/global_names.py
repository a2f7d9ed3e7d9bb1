# what: global names changed in functions
total = 0


def read():
    global a, b
    a, b = map(int, input().split())


def work():
    global total
    total = a + b


read()
work()
print(total)
