# kind: stdin
import sys

s, t = sys.stdin.read().split()
cur = list(s)
steps = []
n = len(s)
down = [i for i in range(n) if t[i] < s[i]]
up = [i for i in range(n - 1, -1, -1) if t[i] > s[i]]
for i in down + up:
    cur[i] = t[i]
    steps.append("".join(cur))
print(len(steps))
for step in steps:
    print(step)
