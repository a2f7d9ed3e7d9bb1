# what: sys.exit(main()) with None
import sys


def main() -> None:
    a, b = map(int, sys.stdin.readline().split())
    print(a + b)


if __name__ == "__main__":
    sys.exit(main())
