# kind: stdin
import sys
from collections import defaultdict

data = sys.stdin.buffer.read().split()
n = int(data[0])
last = defaultdict(lambda: -1)
out = []
for i in range(1, n + 1):
    out.append(last[data[i]])
    last[data[i]] = i
print(" ".join(map(str, out)))
