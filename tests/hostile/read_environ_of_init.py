# what: reads environment, memory, maps and open files of process 1 and of its parent
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
for pid in {1, os.getppid()} - {0, os.getpid()}:
    for name in ("environ", "maps", "auxv", "stack", "syscall"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read(65536)
        except OSError:
            continue
        if name == "environ" and any(word in text for word in (b"HYPERSCALE", b"canary-", b"HOME=/root", b"PYTEST", b"VIRTUAL_ENV")):
            leaks.append(f"/proc/{pid}/{name}")
        if name == "maps" and b"@OUTSIDE@" in text:
            leaks.append(f"/proc/{pid}/{name}")
print("LEAK: " + " ".join(leaks) if leaks else a + b)
