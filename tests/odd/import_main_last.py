# what: imports at the end and inside functions, and a function called before the last definition
def main():
    from sys import stdin

    show(sum(map(int, stdin.read().split())))


def show(value):
    print(value)


main()
import math  # noqa: E402

assert math.pi > 3
