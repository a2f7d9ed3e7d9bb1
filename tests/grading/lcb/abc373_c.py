# kind: stdin
import sys

lines = sys.stdin.read().splitlines()
print(max(map(int, lines[1].split())) + max(map(int, lines[2].split())))
