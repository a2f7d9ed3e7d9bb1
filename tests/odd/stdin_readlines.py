# what: sys.stdin.readlines()
# input: '3\n1 2\n3 4\n5 6\n'
# output: '3\n7\n11\n'
import sys

lines = sys.stdin.readlines()
for line in lines[1 : int(lines[0]) + 1]:
    print(sum(map(int, line.split())))
