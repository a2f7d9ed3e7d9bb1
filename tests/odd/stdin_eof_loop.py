# what: while True with input() until EOFError
# input: '1 2\n3 4\n5 6'
# output: '3\n7\n11\n'
while True:
    try:
        a, b = map(int, input().split())
    except EOFError:
        break
    print(a + b)
