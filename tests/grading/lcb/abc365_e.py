# kind: stdin
import sys


def solve(a):
    total = 0
    for bit in range(27):
        seen = [1, 0]
        prefix = 0
        pairs = 0
        for x in a:
            prefix ^= (x >> bit) & 1
            pairs += seen[prefix ^ 1]
            seen[prefix] += 1
        total += pairs << bit
    # the sum above also holds the one-element segments
    return total - sum(a)


def main():
    n = int(sys.stdin.readline())
    a = list(map(int, sys.stdin.readline().split()))
    print(solve(a[:n]))


if __name__ == "__main__":
    main()
