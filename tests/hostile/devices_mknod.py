# what: makes its own device nodes for the memory and the first disk
# kind: stdin
# verdict: pass
# ends: exited
import os
import stat
import tempfile

a, b = map(int, input().split())
leaks = []
folder = tempfile.mkdtemp()
for name, kind, major, minor in (("mem", stat.S_IFCHR, 1, 1), ("disk", stat.S_IFBLK, 8, 0), ("vda", stat.S_IFBLK, 254, 0)):
    path = os.path.join(folder, name)
    try:
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        leaks.append("made " + name)
        os.unlink(path)
    except OSError:
        pass
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
