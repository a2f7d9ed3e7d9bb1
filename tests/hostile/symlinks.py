# what: symlinks under names that a grader might write or read, pointing outside
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
for folder in {os.getcwd(), tempfile.gettempdir()}:
    for name in ("result.json", "results.json", "stdout", "stdout.txt", "stderr.txt", "output.txt", "out", "status", "verdict.json", "report"):
        try:
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                os.unlink(path)
            os.symlink("@OUTSIDE@/" + name, path)
        except OSError:
            pass
    try:
        os.symlink("/", os.path.join(folder, "everything"))
        os.symlink("@CANARY@", os.path.join(folder, "input.txt"))
    except OSError:
        pass
print(a + b)
