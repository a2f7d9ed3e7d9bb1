# what: ends in a comment without a newline, after a line continuation
a, b = map(int, \
    input().split())
print(a \
      + b)
# the end