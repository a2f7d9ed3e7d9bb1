# what: looks for homes, keys and the work folders of the host
# kind: stdin
# verdict: pass
# ends: exited
import glob
import os
import pwd

a, b = map(int, input().split())
homes = {"/root", "/home", "/work", "/mnt", "/srv", "/media", "/data", "/workspace", os.path.expanduser("~root")}
try:
    homes |= {entry.pw_dir for entry in pwd.getpwall() if entry.pw_dir.startswith(("/root", "/home"))}
except OSError:
    pass
leaks = []
for home in homes:
    for path in [*glob.glob(home + "/*"), *glob.glob(home + "/.[a-z]*")]:
        if os.path.isfile(path) or path.endswith(".ssh"):
            leaks.append(path)
print("LEAK: " + " ".join(leaks[:10]) if leaks else a + b)
