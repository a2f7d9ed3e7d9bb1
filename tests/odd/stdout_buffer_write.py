# what: sys.stdout.buffer.write
import sys

a, b = map(int, sys.stdin.buffer.readline().split())
sys.stdout.buffer.write(str(a + b).encode() + b"\n")
