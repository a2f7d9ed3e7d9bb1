# what: reaches the host through folders that process 1 still has open
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
for pid in {1, os.getppid()} - {0, os.getpid()}:
    for place in ("fd", "cwd", "root"):
        base = f"/proc/{pid}/{place}"
        try:
            doors = [f"{base}/{fd}" for fd in os.listdir(base)] if place == "fd" else [base]
        except OSError:
            continue
        for door in doors:
            for path in (door, door + "/.." * 12 + "@CANARY@", door + "@CANARY@"):
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                except OSError:
                    continue
                try:
                    if b"canary-" in os.read(fd, 4096):
                        leaks.append(path)
                except OSError:
                    pass
                os.close(fd)
print("LEAK: " + " ".join(leaks) if leaks else a + b)
