# what: the right answer, then SIGTERM to its parent (the sandbox's own process), then exit code 1
# kind: stdin
# verdict: fail
# ends: any
import os
import signal
import sys
import time

a, b = map(int, input().split())
print(a + b, flush=True)
for number in (signal.SIGCONT, signal.SIGTERM):
    try:
        if os.getppid() > 0:
            os.kill(os.getppid(), number)
    except OSError:
        pass
time.sleep(0.5)
sys.exit(1)
