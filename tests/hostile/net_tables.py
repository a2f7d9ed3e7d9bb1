# what: finds the host's listeners in /proc/net
# kind: stdin
# verdict: pass
# ends: exited
a, b = map(int, input().split())
leaks = []
for table, port in (("tcp", "@PORT@"), ("tcp6", "@PORT6@")):
    try:
        with open(f"/proc/net/{table}") as file:
            if f":{int(port):04X} " in file.read():
                leaks.append(table)
    except OSError:
        pass
try:
    with open("/proc/net/unix") as file:
        text = file.read()
        if "@UNIX@" in text or "@ABSTRACT@" in text:
            leaks.append("unix")
except OSError:
    pass
print("LEAK: sees the host's sockets in " + " ".join(leaks) if leaks else a + b)
