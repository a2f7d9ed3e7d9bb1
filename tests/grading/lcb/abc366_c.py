# kind: stdin
import sys

lines = sys.stdin.readlines()
q = int(lines[0])
bag = {}
out = []
for line in lines[1 : q + 1]:
    parts = line.split()
    if parts[0] == "1":
        bag[parts[1]] = bag.get(parts[1], 0) + 1
    elif parts[0] == "2":
        bag[parts[1]] -= 1
        if bag[parts[1]] == 0:
            del bag[parts[1]]
    else:
        out.append(len(bag))
print("\n".join(map(str, out)))
