# what: from sys import stdin, stdout, as two plain names
from sys import stdin, stdout

a, b = map(int, stdin.readline().split())
stdout.write("%d\n" % (a + b))
