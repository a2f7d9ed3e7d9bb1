# what: raw sockets
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
leaks = []
for family, protocol in ((socket.AF_INET, 1), (socket.AF_INET, 255), (socket.AF_INET6, 58)):
    try:
        socket.socket(family, socket.SOCK_RAW, protocol).close()
        leaks.append(f"{family}/{protocol}")
    except OSError:
        pass
print("LEAK: raw sockets " + " ".join(leaks) if leaks else a + b)
