# what: reads its own source through __file__
import os
import sys

with open(__file__, encoding="utf-8") as file:
    lines = file.read().splitlines()
assert lines[0].startswith("# what") and lines[-1].startswith("print")
assert os.path.abspath(__file__) == os.path.abspath(sys.argv[0])
print(sum(map(int, input().split())))
