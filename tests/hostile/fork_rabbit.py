# what: prints the answer, leaves a chain of processes each of which forks the next and dies, so that no list of pids is ever current
# kind: stdin
# verdict: pass
# ends: exited
import os
import time

a, b = map(int, input().split())
print(a + b, flush=True)
if os.fork() == 0:
    for step in range(300):
        time.sleep(0.05)
        if step == 20:
            try:
                os.write(1, b"LEAK: the chain outlived the program\n")
            except OSError:
                pass
        try:
            if os.fork() != 0:
                os._exit(0)
        except OSError:
            pass
    os._exit(0)
