# what: every process forks again, eight generations, none waits
# kind: stdin
# verdict: fail
# ends: exited | processes | wall
import os
import time

main = os.getpid()
for _ in range(8):
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
if os.getpid() == main:
    time.sleep(1)
    alive = sum(name.isdigit() for name in os.listdir("/proc"))
    if alive > 100:
        print("LEAK:", alive, "processes at once", flush=True)
else:
    time.sleep(12)
os._exit(0)
