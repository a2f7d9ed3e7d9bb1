# what: sixteen children flood the same stdout, each below the limit
# kind: stdin
# verdict: fail
# ends: output
import os

for _ in range(16):
    if os.fork() == 0:
        for _ in range(7):
            os.write(1, b"y" * (1 << 20))
        os._exit(0)
for _ in range(16):
    os.wait()
