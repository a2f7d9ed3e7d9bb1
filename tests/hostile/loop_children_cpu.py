# what: short-lived children burn the CPU in turn, so that no process reaches a limit of its own
# kind: stdin
# verdict: fail
# ends: cpu | wall
import os
import time

end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork() == 0:
        stop = time.process_time() + 0.2
        while time.process_time() < stop:
            pass
        os._exit(0)
    os.wait()
