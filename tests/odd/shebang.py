#!/usr/bin/env pypy3
# what: a line for the shell before everything else
a, b = map(int, input().split())
print(a + b)
