# what: connects to a listener on the host's IPv6 loopback
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
leaks = []
for host, port in (("::1", "@PORT6@"), ("::ffff:127.0.0.1", "@PORT@")):
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect((host, int(port)))
            leaks.append(host)
    except OSError:
        pass
print("LEAK: connected to " + " ".join(leaks) if leaks else a + b)
