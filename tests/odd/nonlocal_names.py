# what: nested functions with nonlocal
def counter():
    total = 0

    def add(x):
        nonlocal total

        def inner():
            nonlocal total
            total += x
            return total

        return inner()

    return add


add = counter()
for word in input().split():
    last = add(int(word))
print(last)
