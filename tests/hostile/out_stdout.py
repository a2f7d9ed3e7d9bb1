# what: a flood on stdout
# kind: stdin
# verdict: fail
# ends: output
import os

for _ in range(200):
    os.write(1, b"spam and eggs\n" * 74899)
