# what: no newline at the end
print(sum(map(int, input().split())), end="")
