# what: lines collected and printed at once with sep
# input: '3\n1 2\n3 4\n5 6\n'
# output: '3\n7\n11\n'
out = []
for _ in range(int(input())):
    out.append(sum(map(int, input().split())))
print(*out, sep="\n")
