# what: ignores every signal that can be ignored and spins
# kind: stdin
# verdict: fail
# ends: cpu | wall
import signal
import time

for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
try:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
except (OSError, ValueError):
    pass
end = time.monotonic() + 30
while time.monotonic() < end:
    pass
