# what: takes the CPU limit's signal and answers in the handler, then goes on
# kind: stdin
# verdict: fail
# ends: cpu | wall
import signal
import time

a, b = map(int, input().split())


def answer(*_):
    print(a + b, flush=True)


for number in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF):
    signal.signal(number, answer)
end = time.monotonic() + 30
while time.monotonic() < end:
    pass
