# what: input without a last newline
# input: '40 2'
print(sum(map(int, input().split())))
