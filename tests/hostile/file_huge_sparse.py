# what: files of a terabyte by truncate, ftruncate and seeking; 300 MiB by fallocate
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
folder = tempfile.mkdtemp()
leak = False
fd = os.open(os.path.join(folder, "huge"), os.O_RDWR | os.O_CREAT)
for attempt in (
    lambda: os.ftruncate(fd, 1 << 40),
    lambda: os.truncate(os.path.join(folder, "huge"), 1 << 40),
    lambda: os.pwrite(fd, b"x", 1 << 40),
):
    try:
        attempt()
    except OSError:
        pass
try:
    os.posix_fallocate(fd, 0, 300 << 20)
    leak = True
except OSError:
    pass
os.close(fd)
print("LEAK: 300 MiB were set aside" if leak else a + b)
