# kind: stdin
for _ in range(int(input())):
    row = input().strip()
    wrong = sum(x != y for x, y in zip(row, "abc"))
    print("YES" if wrong <= 2 else "NO")
