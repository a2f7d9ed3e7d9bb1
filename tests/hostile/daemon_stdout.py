# what: a double-forked daemon in its own session keeps stdout open after the main program ended
# kind: stdin
# verdict: pass
# ends: exited
import os
import time

a, b = map(int, input().split())
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1)
        try:
            os.write(1, b"LEAK: the daemon outlived the program\n")
        except OSError:
            pass
        time.sleep(18)
    os._exit(0)
os.wait()
print(a + b)
