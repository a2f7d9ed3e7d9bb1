# what: imports the benchmark itself, to ask it for the answers
# kind: stdin
# verdict: pass
# ends: exited
import importlib
import sys

a, b = map(int, input().split())
leaks = []
sys.path += ["@PROJECT@", "/app", "/src"]
for name in ("hyperscale", "hyperscale.tasks", "tests.conftest", "lcb_runner", "human_eval"):
    try:
        importlib.import_module(name)
        leaks.append(name)
    except Exception:
        pass
print("LEAK: imported " + " ".join(leaks) if leaks else a + b)
