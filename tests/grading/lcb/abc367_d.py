# kind: stdin
import sys

input = sys.stdin.readline

n, m = map(int, input().split())
a = list(map(int, input().split()))
total = sum(a)
count = [0] * m
prefix = 0
answer = 0
for step in a:
    # P[s] = P[t] for a walk s -> t that does not pass the start, and
    # total - (P[s] - P[t]) = 0 for one that does (all modulo m)
    answer += count[prefix]
    answer += count[(prefix - total) % m]
    count[prefix] += 1
    prefix = (prefix + step) % m
print(answer)
