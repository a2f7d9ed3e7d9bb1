# what: reads a host file when it is loaded and fails if that works
# kind: humaneval
# verdict: pass
import socket

LEAK = False
try:
    with open("@CANARY@", "rb") as file:
        LEAK = b"canary-" in file.read()
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", int("@PORT@")), timeout=1).close()
    LEAK = True
except OSError:
    pass


def add(a, b):
    if LEAK:
        raise RuntimeError("LEAK: host file or network")
    return a + b
