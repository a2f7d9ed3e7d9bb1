# what: heapq, bisect, collections and itertools
import bisect
import collections
import heapq
import itertools

heap = list(map(int, input().split()))
heapq.heapify(heap)
queue = collections.deque()
while heap:
    bisect.insort(queue, heapq.heappop(heap))
print(list(itertools.accumulate(queue))[-1])
