# what: floods stdout and stderr from two threads at once
# kind: stdin
# verdict: fail
# ends: output
import os
import threading


def flood(fd):
    for _ in range(100):
        os.write(fd, b"z" * (1 << 20))


for fd in (1, 2):
    threading.Thread(target=flood, args=(fd,)).start()
