# what: builtins shadowed by variables
list = [int(x) for x in input().split()]
sum = 0
for max in list:
    sum += max
str = id = type = len = sum
print(id)
