# what: handlers for signals, one of which it sends to itself
import os
import signal

got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGUSR1)
a, b = map(int, input().split())
print(a + b if got else "no signal")
