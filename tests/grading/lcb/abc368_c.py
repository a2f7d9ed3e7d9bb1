# kind: stdin
def main():
    input()
    healths = map(int, input().split())
    t = 0
    for h in healths:
        rounds, h = divmod(h, 5)
        t += 3 * rounds
        while h > 0:
            t += 1
            h -= 3 if t % 3 == 0 else 1
    print(t)


if __name__ == "__main__":
    main()
