# kind: stdin
from collections import Counter


def main():
    t = int(input())
    for _ in range(t):
        _, k = (int(x) for x in input().split())
        odd = sum(c % 2 for c in Counter(input().strip()).values())
        if odd - k <= 1:
            print("YES")
        else:
            print("NO")


main()
