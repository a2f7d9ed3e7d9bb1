# what: reads a host file by path, through .., through /proc and through a symlink
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
canary = "@CANARY@"
link = os.path.join(tempfile.mkdtemp(), "link")
os.symlink(canary, link)
paths = [canary, "../" * 40 + canary.lstrip("/"), link]
paths += [f"/proc/{pid}/{root}{canary}" for pid in ("1", "self", os.getppid()) for root in ("root", "cwd/../../../..")]
leaks = []
for path in paths:
    try:
        with open(path, "rb") as file:
            if b"canary-" in file.read(4096):
                leaks.append(path)
    except OSError:
        pass
print("LEAK: " + " ".join(leaks) if leaks else a + b)
