# what: fills /tmp, each file below any limit of one file
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
folder = tempfile.mkdtemp()
total = 0
try:
    for number in range(31):
        with open(os.path.join(folder, str(number)), "wb", buffering=0) as file:
            for _ in range(16):
                total += file.write(b"x" * (1 << 20))
except OSError:
    pass
for name in os.listdir(folder):
    os.unlink(os.path.join(folder, name))
print(f"LEAK: {total >> 20} MiB of files" if total > 100 << 20 else a + b)
