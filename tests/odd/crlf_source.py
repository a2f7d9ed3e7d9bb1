# what: source with CRLF line ends
import sys


def main():
    text = '''two
lines'''
    a, b = map(int, sys.stdin.read().split())
    if len(text) == 9:
        print(a + b)


main()
