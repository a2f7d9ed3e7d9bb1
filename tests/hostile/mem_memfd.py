# what: anonymous files in memory (memfd_create), below any limit of one file, 1.5 GiB together
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
import os

total = 0
try:
    for number in range(48):
        fd = os.memfd_create(f"part{number}")
        for _ in range(32):
            total += os.write(fd, b"x" * (1 << 20))
except OSError:
    pass
if total > 1200 << 20:
    print("LEAK: wrote", total >> 20, "MiB into anonymous files", flush=True)
