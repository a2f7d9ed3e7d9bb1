# what: os.fdopen(sys.stdin.fileno())
import os
import sys

with os.fdopen(sys.stdin.fileno(), "r", closefd=False) as stream:
    print(sum(int(word) for word in stream.read().split()))
