# what: a daemon without open streams that ignores signals and wants to write outside after the end
# kind: stdin
# verdict: pass
# ends: exited
import os
import signal
import time

a, b = map(int, input().split())
print(a + b, flush=True)
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for fd in (0, 1, 2):
        os.close(fd)
    time.sleep(1)
    try:
        with open("@OUTSIDE@/daemon", "w") as file:
            file.write("LEAK")
    except OSError:
        pass
    time.sleep(18)
    os._exit(0)
