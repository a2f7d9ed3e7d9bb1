# what: opens its own source for writing, hard-links it and renames it
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
leaks = []
try:
    os.close(os.open(__file__, os.O_WRONLY | os.O_APPEND))
    leaks.append("may write " + __file__)
except OSError:
    pass
try:
    copy = os.path.join(tempfile.mkdtemp(), "copy.py")
    os.link(__file__, copy)
    os.close(os.open(copy, os.O_WRONLY | os.O_APPEND))
    leaks.append("may write a hard link to it")
except OSError:
    pass
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
