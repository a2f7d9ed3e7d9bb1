# what: sockets of families that no program of a benchmark needs (packet, netlink, vsock, crypto and others)
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
wanted = {
    "packet": (17, socket.SOCK_RAW),
    "packet-dgram": (17, socket.SOCK_DGRAM),
    "netlink": (16, socket.SOCK_RAW),
    "vsock": (40, socket.SOCK_STREAM),
    "alg": (38, socket.SOCK_SEQPACKET),
    "bluetooth": (31, socket.SOCK_RAW),
    "can": (29, socket.SOCK_RAW),
    "rds": (21, socket.SOCK_SEQPACKET),
    "tipc": (30, socket.SOCK_STREAM),
    "xdp": (44, socket.SOCK_RAW),
    "key": (15, socket.SOCK_RAW),
}
leaks = []
for name, (family, kind) in wanted.items():
    try:
        socket.socket(family, kind, 0).close()
        leaks.append(name)
    except OSError:
        pass
print("LEAK: made sockets " + " ".join(leaks) if leaks else a + b)
