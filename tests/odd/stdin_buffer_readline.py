# what: sys.stdin.buffer.readline twice, then the rest by iteration
# input: '2\n1 2\n3 4\n'
# output: '3\n7\n'
import sys

readline = sys.stdin.buffer.readline
n = int(readline())
a, b = map(int, readline().split())
print(a + b)
for line in sys.stdin.buffer:
    print(sum(map(int, line.split())))
