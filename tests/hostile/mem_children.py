# what: eight children hold 300 MiB each, none above the limit by itself
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | wall
import os
import signal
import time

signal.alarm(30)
read_end, write_end = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(read_end)
        try:
            held = b"x" * (300 << 20)
            os.write(write_end, b"+")
            time.sleep(4)
        finally:
            os._exit(0)
os.close(write_end)
holding = 0
while True:
    got = os.read(read_end, 8)
    if not got:
        break
    holding += len(got)
if holding == 8:
    print("LEAK: eight children held 2400 MiB together", flush=True)
