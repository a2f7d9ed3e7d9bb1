# what: select.select on stdin before it reads
import select
import sys

ready, _, _ = select.select([sys.stdin], [], [], 5)
a, b = map(int, ready[0].readline().split())
print(a + b)
