# what: assignment expressions
if (n := len(words := input().split())) == 2:
    print(sum(y for x in words if (y := int(x)) or n))
