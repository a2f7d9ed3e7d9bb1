# what: the classic way out of a chroot
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
leaks = []
try:
    top = os.open("/", os.O_RDONLY)
    os.chroot(tempfile.mkdtemp())
    leaks.append("chroot is allowed")
    os.fchdir(top)
    for _ in range(40):
        os.chdir("..")
    os.chroot(".")
except OSError:
    pass
if os.path.exists("@CANARY@"):
    leaks.append("the host's files are there")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
