# kind: stdin
n = int(input())
s = input().strip()
beats = {"R": "P", "P": "S", "S": "R"}

best = {"R": 0, "P": 0, "S": 0}
for c in s:
    nxt = {}
    for mine, gain in ((c, 0), (beats[c], 1)):
        prev = [v for k, v in best.items() if k != mine]
        if prev:
            nxt[mine] = max(prev) + gain
    best = nxt
print(max(best.values()))
