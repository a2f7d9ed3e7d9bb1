# what: leaves a marker everywhere it can, and tells if one from an earlier run is still there (run it twice)
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
leaks = []
for folder in {"/tmp", "/var/tmp", "/dev/shm", "/run", os.getcwd(), tempfile.gettempdir(), os.path.expanduser("~")}:
    path = os.path.join(folder, ".hostile-marker")
    if os.path.exists(path):
        leaks.append(path)
    try:
        with open(path, "w") as file:
            file.write("an earlier run")
    except OSError:
        pass
print("LEAK: state of an earlier run in " + " ".join(leaks) if leaks else a + b)
