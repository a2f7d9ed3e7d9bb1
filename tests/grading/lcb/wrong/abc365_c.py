# kind: stdin
import sys


def main():
    data = list(map(int, sys.stdin.read().split()))
    n, budget = data[0], data[1]
    costs = data[2 : 2 + n]
    if sum(costs) <= budget:
        print("infinite")
        return
    good, bad = 0, max(costs)
    while bad - good > 1:
        mid = (good + bad) // 2
        if sum(min(mid, c) for c in costs) <= budget:
            good = mid
        else:
            bad = mid
    print(bad)


main()
