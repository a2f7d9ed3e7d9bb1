# what: goes on reading stdin after its end
# kind: stdin
# verdict: fail
# ends: cpu | wall
import sys
import time

end = time.monotonic() + 30
numbers = []
while len(numbers) < 3 and time.monotonic() < end:
    numbers += map(int, sys.stdin.readline().split())
print(sum(numbers[:1]))
