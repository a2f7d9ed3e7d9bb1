# what: sys.stdin and sys.stdout replaced by fresh files on the same descriptors
import sys

sys.stdin = open(0, encoding="utf-8", closefd=False)
sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
a, b = map(int, input().split())
print(a + b)
sys.stdout.flush()
