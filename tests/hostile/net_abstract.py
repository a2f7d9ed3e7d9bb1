# what: connects to an abstract unix socket of the host, which no file system hides
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
leak = False
try:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        client.connect("\0@ABSTRACT@")
        leak = True
except OSError:
    pass
print("LEAK: connected to the abstract socket" if leak else a + b)
