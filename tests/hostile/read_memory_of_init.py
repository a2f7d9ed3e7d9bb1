# what: searches the memory of process 1 and of its parent for what the host knows
# kind: stdin
# verdict: pass
# ends: exited
# Where the sandbox's own first process has the program's user, its memory can be read. Nothing of the host may be in it.
import os

a, b = map(int, input().split())
leaks = []
wanted = [b"can" + b"ary-", b"HYPER" + b"SCALE_", b"py" + b"test"]
for pid in {1, os.getppid()} - {0, os.getpid()}:
    try:
        fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        maps = open(f"/proc/{pid}/maps").read().splitlines()
    except OSError:
        continue
    for line in maps:
        start, _, end = line.split()[0].partition("-")
        start, end = int(start, 16), int(end, 16)
        try:
            found = os.pread(fd, min(end - start, 8 << 20), start)
        except (OSError, OverflowError):
            continue
        leaks += [word.decode() for word in wanted if word in found]
print("LEAK: " + " ".join(leaks) if leaks else a + b)
