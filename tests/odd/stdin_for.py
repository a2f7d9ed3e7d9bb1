# what: for line in sys.stdin
import sys

for line in sys.stdin:
    if line.strip():
        a, b = line.split()
        print(int(a) + int(b))
