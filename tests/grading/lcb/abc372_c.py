# kind: stdin
import sys


def main():
    readline = sys.stdin.readline
    n, q = map(int, readline().split())
    s = ["."] * 2 + list(readline().strip()) + ["."] * 2

    def around(i):
        return sum(s[j] == "A" and s[j + 1] == "B" and s[j + 2] == "C" for j in range(i - 2, i + 1))

    count = sum(s[j] == "A" and s[j + 1] == "B" and s[j + 2] == "C" for j in range(2, n))
    for _ in range(q):
        x, c = readline().split()
        i = int(x) + 1
        count -= around(i)
        s[i] = c
        count += around(i)
        sys.stdout.write(str(count) + "\n")


main()
