# what: connects to a unix socket of the host by its path
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
leaks = []
for path in ("@UNIX@", "/proc/1/root@UNIX@"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.settimeout(1)
                client.connect(path)
                leaks.append(path)
        except OSError:
            pass
print("LEAK: connected to " + " ".join(leaks) if leaks else a + b)
