# what: leaves modules named like the standard library's in the current folder, for the next interpreter to import
# kind: stdin
# verdict: pass
# ends: exited
import os
import tempfile

a, b = map(int, input().split())
text = "import os\nprint('LEAK: imported a planted module', flush=True)\n"
for folder in {os.getcwd(), tempfile.gettempdir(), os.path.dirname(os.path.abspath(__file__))}:
    for name in ("json.py", "sitecustomize.py", "usercustomize.py", "random.py", "conftest.py", "__init__.py"):
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        except OSError:
            pass
print(a + b)
