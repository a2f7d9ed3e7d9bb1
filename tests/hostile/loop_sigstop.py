# what: stops itself; only a SIGKILL from outside ends it
# kind: stdin
# verdict: fail
# ends: wall
import os
import signal
import time

if os.fork() == 0:
    for fd in (0, 1, 2):
        os.close(fd)
    time.sleep(20)
    os.kill(os.getppid(), signal.SIGCONT)
    os._exit(0)
os.kill(os.getpid(), signal.SIGSTOP)
