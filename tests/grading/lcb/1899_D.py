# kind: stdin
import sys
from collections import Counter


class Reader:
    def __init__(self, text):
        self.tokens = iter(text.split())

    def number(self):
        return int(next(self.tokens))


reader = Reader(sys.stdin.read())
for _ in range(reader.number()):
    size = reader.number()
    counts = Counter(reader.number() for _ in range(size))
    pairs = sum(c * (c - 1) // 2 for c in counts.values())
    # 2^k and 2^l with k 2^l = l 2^k: equal, or 1 and 2
    print(pairs + counts[1] * counts[2])
