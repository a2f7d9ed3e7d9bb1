# what: looks for capabilities and for ways to become root
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
with open("/proc/self/status") as file:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    if int(status[name], 16) != 0:
        leaks.append(f"{name} {status[name]}")
if status.get("NoNewPrivs", "0").strip() != "1":
    leaks.append("no_new_privs is off")
if status.get("Seccomp", "0").strip() != "2":
    leaks.append("no filter of system calls")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
