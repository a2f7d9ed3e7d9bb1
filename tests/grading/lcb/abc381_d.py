# kind: stdin
n = int(input())
a = list(map(int, input().split()))


def longest(offset):
    best = 0
    start = offset
    last = {}
    for i in range(offset, n - 1, 2):
        x = a[i]
        if x != a[i + 1]:
            start = i + 2
            continue
        if x in last and last[x] >= start:
            start = last[x] + 2
        last[x] = i
        best = max(best, i + 2 - start)
    return best


print(max(longest(0), longest(1)))
