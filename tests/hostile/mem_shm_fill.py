# what: fills /dev/shm with 16 MiB files
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
total, made = 0, []
try:
    for number in range(31):
        path = f"/dev/shm/fill{number}"
        with open(path, "wb", buffering=0) as file:
            made.append(path)
            for _ in range(16):
                total += file.write(b"x" * (1 << 20))
except OSError:
    pass
for path in made:
    os.unlink(path)
print(f"LEAK: {total >> 20} MiB in /dev/shm" if total > 100 << 20 else a + b)
