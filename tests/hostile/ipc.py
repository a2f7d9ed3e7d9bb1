# what: looks for shared memory, semaphores and queues of the host
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
for name in ("shm", "sem", "msg"):
    try:
        with open(f"/proc/sysvipc/{name}") as file:
            if len(file.readlines()) > 1:
                leaks.append(name)
    except OSError:
        pass
for folder in ("/dev/shm", "/dev/mqueue"):
    try:
        if os.listdir(folder):
            leaks.append(folder)
    except OSError:
        pass
print("LEAK: sees " + " ".join(leaks) if leaks else a + b)
