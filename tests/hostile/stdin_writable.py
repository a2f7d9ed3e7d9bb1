# what: writes into stdin and reads from stdout, in case they are files or sockets of the harness
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
try:
    os.write(0, b"9 9\n")
    leaks.append("stdin takes writes")
except OSError:
    pass
for fd in (1, 2):
    try:
        os.set_blocking(fd, False)
        if os.read(fd, 1):
            leaks.append(f"{fd} can be read")
    except OSError:
        pass
    os.set_blocking(fd, True)
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
