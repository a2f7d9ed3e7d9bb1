# what: the right answer, then SIGKILL to itself
# kind: stdin
# verdict: fail
# ends: signal
import os
import signal

a, b = map(int, input().split())
print(a + b, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
