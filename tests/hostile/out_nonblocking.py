# what: makes the three streams non-blocking and shrinks their pipes before it answers, to upset the other end
# kind: stdin
# verdict: pass
# ends: exited
import fcntl
import os

a, b = map(int, input().split())
for fd in (0, 1, 2):
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
        fcntl.fcntl(fd, 1031, 4096)
    except OSError:
        pass
print(a + b)
