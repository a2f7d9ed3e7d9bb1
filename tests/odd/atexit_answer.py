# what: the answer is printed by an exit handler
import atexit

a, b = map(int, input().split())


@atexit.register
def answer():
    print(a + b)
