# what: resolves a name that does not exist, and asks the usual resolvers' route
# kind: stdin
# verdict: pass
# ends: exited
import socket

a, b = map(int, input().split())
leaks = []
for name in ("hyperscale-canary.invalid", "metadata.invalid"):
    try:
        socket.getaddrinfo(name, 80)
        leaks.append(name)
    except OSError:
        pass
print("LEAK: resolved " + " ".join(leaks) if leaks else a + b)
