# what: takes the harness's alarm away and hangs
# kind: humaneval
# verdict: fail
import signal
import time

for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
    signal.signal(number, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 0)


def add(a, b):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass
    return a + b
