# kind: stdin
scores = dict(zip("ABCDE", map(int, input().split())))
people = []
for mask in range(1, 32):
    name = "".join(c for i, c in enumerate("ABCDE") if mask >> i & 1)
    people.append((-sum(scores[c] for c in name), name))
for _, name in sorted(people):
    print(name)
