# what: sys.exit(0) in the middle of the program
import sys

a, b = map(int, input().split())
print(a + b)
sys.exit(0)
print("never")
