# what: writes a module beside itself or in a folder on sys.path and imports it
import importlib
import sys
import tempfile

with tempfile.TemporaryDirectory() as folder:
    with open(folder + "/helper_of_mine.py", "w") as file:
        file.write("def add(a, b):\n    return a + b\n")
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    import helper_of_mine

    print(helper_of_mine.add(*map(int, input().split())))
