# what: types into the terminal of whoever started it
# kind: stdin
# verdict: pass
# ends: exited
import fcntl
import os
import termios

a, b = map(int, input().split())
leaks = []
fds = [0, 1, 2]
for path in ("/dev/tty", "/dev/console", "/dev/pts/0", "/dev/pts/1"):
    try:
        fds.append(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        leaks.append("opened " + path)
    except OSError:
        pass
for fd in fds:
    try:
        fcntl.ioctl(fd, termios.TIOCSTI, b"\n")
        leaks.append(f"typed into {fd}")
    except OSError:
        pass
if os.getsid(0) not in (0, 1, os.getpid(), os.getppid()):
    leaks.append("the session is somebody else's")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
