# what: a guard in the middle of the program, code after it and single quotes
import sys

if __name__ == '__main__': a, b = map(int, sys.stdin.read().split())
def show(x): print(x)
if '__main__' == __name__:
    show(a + b)
