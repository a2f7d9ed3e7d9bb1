# what: connects to a listener on the host's loopback
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
leaks = []
for host in ("127.0.0.1", "127.0.1.1", "0.0.0.0", "localhost"):
    try:
        with socket.create_connection((host, int("@PORT@")), timeout=1):
            leaks.append(host)
    except OSError:
        pass
print("LEAK: connected to " + " ".join(leaks) if leaks else a + b)
