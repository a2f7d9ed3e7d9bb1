# what: multiprocessing.Process until refused
# kind: stdin
# verdict: fail
# ends: exited | processes | wall | signal
import multiprocessing
import os
import time

made = 0
try:
    while made < 200:
        multiprocessing.Process(target=time.sleep, args=(12,), daemon=True).start()
        made += 1
except OSError:
    pass
if made > 100:
    print("LEAK:", made, "processes at once", flush=True)
os._exit(0)
