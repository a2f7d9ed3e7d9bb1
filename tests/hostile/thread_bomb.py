# what: starts sleeping threads until refused (threads count as processes)
# kind: stdin
# verdict: fail
# ends: exited | processes | wall | memory
import os
import threading
import time

threading.stack_size(256 << 10)
made = 0
try:
    while made < 300:
        threading.Thread(target=time.sleep, args=(15,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
if made > 100:
    print("LEAK:", made, "threads at once", flush=True)
os._exit(0)
