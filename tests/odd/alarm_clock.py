# what: its own time limit by signal.alarm and setitimer
import signal


class Late(Exception):
    pass


def late(*_):
    raise Late


signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    while True:
        pass
except Late:
    pass
signal.alarm(5)
print(sum(map(int, input().split())))
signal.alarm(0)
