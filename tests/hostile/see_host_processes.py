# what: looks for processes of the host
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
pids = [name for name in os.listdir("/proc") if name.isdigit()]
leaks = []
if "@HOSTPID@" in pids or os.path.exists("/proc/@HOSTPID@/stat"):
    leaks.append("the host's process @HOSTPID@ is visible")
if len(pids) > 6:
    leaks.append(f"{len(pids)} processes are visible")
for pid in pids:
    for name in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read()
        except OSError:
            continue
        if any(word in b"\0" + text for word in (b"\0pytest\0", b"/pytest\0", b"canary-", b"HYPERSCALE_")):
            leaks.append(f"/proc/{pid}/{name}")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
