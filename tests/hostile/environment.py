# what: looks through the environment for what the host put there
# kind: stdin
# verdict: pass
# ends: exited
import os
import sys

a, b = map(int, input().split())
plain = {"PATH", "HOME", "LANG", "LANGUAGE", "TMPDIR", "TZ", "PWD", "OLDPWD", "SHLVL", "_", "USER", "TERM"}
outside = (os.path.dirname("@CANARY@"), os.path.dirname("@OUTSIDE@"), "/root", "/home", "/work", "/mnt", "/data")
leaks = []
for name, value in os.environ.items():
    known = name in plain or name.startswith(("LC_", "PYTHON")) or name.endswith("_NUM_THREADS")
    if not known or name.startswith("HYPERSCALE") or "canary-" in value:
        leaks.append(name)
        continue
    for part in value.split(":"):
        if part.startswith((sys.prefix, sys.base_prefix)):
            continue
        if any(part == place or part.startswith(place.rstrip("/") + "/") for place in outside if place not in ("/", "/tmp")):
            leaks.append(f"{name}={part}")
print("LEAK: " + " ".join(leaks) if leaks else a + b)
