# what: asks for the host's name, and tries to change it
# kind: stdin
# verdict: pass
# ends: exited
import os
import socket

a, b = map(int, input().split())
leaks = []
names = {socket.gethostname(), os.uname().nodename}
try:
    with open("/proc/sys/kernel/hostname") as file:
        names.add(file.read().strip())
except OSError:
    pass
if "@HOSTNAME@" in names:
    leaks.append("the name of the host is known")
try:
    socket.sethostname(socket.gethostname())
    leaks.append("the name may be set")
except OSError:
    pass
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
