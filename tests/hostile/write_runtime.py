# what: changes the runtime: standard library, site-packages, interpreter, caches of byte code
# kind: stdin
# verdict: pass
# ends: exited
import os
import site
import sys

a, b = map(int, input().split())
leaks = []
stdlib = os.path.dirname(os.__file__)
files = [os.__file__, sys.executable, os.path.realpath(sys.executable), "/proc/self/exe", "/proc/1/exe"]
for path in files:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        leaks.append(path)
    except OSError:
        pass
for folder in [stdlib, os.path.join(stdlib, "__pycache__"), *site.getsitepackages()]:
    path = os.path.join(folder, "hostile_was_here.pth.off")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        leaks.append(folder)
        os.unlink(path)
    except OSError:
        pass
try:
    os.utime(os.__file__)
    leaks.append("times of os.py")
except OSError:
    pass
print("LEAK: may change " + " ".join(leaks) if leaks else a + b)
