# what: looks for a route to the world (connecting a UDP socket sends nothing) and for interfaces besides loopback
# kind: stdin
# verdict: pass
# ends: exited
import fcntl
import socket
import struct

a, b = map(int, input().split())
leaks = []
for family, host in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.connect((host, 9))
            leaks.append(f"route to {host} from {client.getsockname()[0]}")
    except OSError:
        pass
try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _, name in socket.if_nameindex():
            flags = fcntl.ioctl(client, 0x8913, struct.pack("16sH14x", name.encode(), 0))
            if name != "lo" and struct.unpack("16sH14x", flags)[1] & 1:
                leaks.append(f"interface {name} is up")
except OSError:
    pass
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
