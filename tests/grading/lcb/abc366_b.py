# kind: stdin
import sys
from itertools import zip_longest

words = sys.stdin.read().split()[1:]
for column in zip_longest(*reversed(words), fillvalue="*"):
    print("".join(column).rstrip("*"))
