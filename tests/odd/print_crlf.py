# what: CRLF in the output
# input: '1 2\n3 4\n'
# output: '3\n7\n'
import sys

for line in sys.stdin:
    print(sum(map(int, line.split())), end="\r\n")
