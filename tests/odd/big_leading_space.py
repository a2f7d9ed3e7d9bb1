# what: five million blank lines before the answer (equal after stripping)
import sys

a, b = map(int, input().split())
sys.stdout.write("\n" * 5_000_000)
print(a + b)
