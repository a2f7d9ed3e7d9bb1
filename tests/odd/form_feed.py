# what: form feeds between functions
def read():
    return map(int, input().split())

def add(a, b):
    return a + b

print(add(*read()))
