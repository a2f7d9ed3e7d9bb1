# what: reads a host file, reaches the network and writes outside when it is loaded; wrong if any of it works
# kind: functional
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
try:
    with open("@OUTSIDE@/functional", "w") as file:
        file.write("pwned")
    LEAK = True
except OSError:
    pass


class Solution:
    def add(self, a: int, b: int) -> int:
        return "LEAK" if LEAK else a + b
