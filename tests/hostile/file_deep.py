# what: folders nested a thousand deep, which a recursive removal must survive
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
home = os.getcwd()
for start in (tempfile.mkdtemp(), home):
    try:
        os.chdir(start)
        for _ in range(1000):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    except OSError:
        pass
print(a + b)
