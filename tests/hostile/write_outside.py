# what: writes into a folder of the host that anyone may write to
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
for path in ("@OUTSIDE@/pwned", "../" * 40 + "@OUTSIDE@/pwned".lstrip("/"), "/proc/1/root@OUTSIDE@/pwned"):
    try:
        with open(path, "w") as file:
            file.write("pwned")
        leaks.append(path)
    except OSError:
        pass
try:
    os.makedirs("@OUTSIDE@/deep")
    leaks.append("made the folder itself")
except OSError:
    pass
print("LEAK: " + " ".join(leaks) if leaks else a + b)
