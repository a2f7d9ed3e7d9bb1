# what: generators that send and yield from
def numbers():
    yield from map(int, input().split())


def adder():
    total = 0
    while True:
        total += yield total


running = adder()
next(running)
for number in numbers():
    last = running.send(number)
print(last)
