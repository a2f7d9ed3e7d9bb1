# what: sys.stdin.read()
import sys

print(sum(map(int, sys.stdin.read().split())))
