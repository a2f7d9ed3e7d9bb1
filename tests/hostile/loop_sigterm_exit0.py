# what: waits to be told to end, then prints the answer and exits with 0
# kind: stdin
# verdict: fail
# ends: wall | cpu | exited
import os
import signal
import time


def answer(*_):
    os.write(1, b"42\n")
    os._exit(0)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU, signal.SIGALRM):
    signal.signal(number, answer)
time.sleep(30)
