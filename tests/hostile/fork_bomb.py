# what: forks sleeping children until it is refused
# kind: stdin
# verdict: fail
# ends: exited | processes | wall
import os
import time

made = 0
try:
    while made < 300:
        if os.fork() == 0:
            time.sleep(15)
            os._exit(0)
        made += 1
except OSError:
    pass
if made > 100:
    print("LEAK:", made, "processes at once", flush=True)
time.sleep(1)
