# what: millions of empty lines, each its own write
# kind: stdin
# verdict: fail
# ends: output | cpu | wall
import os
import time

end = time.monotonic() + 30
while time.monotonic() < end:
    for _ in range(1000):
        os.write(1, b"\n")
