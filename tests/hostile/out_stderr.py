# what: a flood on stderr
# kind: stdin
# verdict: fail
# ends: output | exited
import os

for _ in range(200):
    os.write(2, b"spam and eggs\n" * 74899)
