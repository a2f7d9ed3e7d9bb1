# what: folders and files without any rights, which a removal must survive
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
for folder in {os.getcwd(), tempfile.gettempdir()}:
    try:
        inner = os.path.join(folder, "locked")
        os.makedirs(os.path.join(inner, "inner"))
        with open(os.path.join(inner, "inner", "file"), "w") as file:
            file.write("x")
        os.chmod(os.path.join(inner, "inner"), 0)
        os.chmod(inner, 0)
    except OSError:
        pass
print(a + b)
