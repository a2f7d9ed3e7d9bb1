# what: raises its own hard limits
# kind: stdin
# verdict: pass
# ends: exited
import resource

a, b = map(int, input().split())
leaks = []
for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "CORE"):
    limit = getattr(resource, "RLIMIT_" + name)
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY:
        continue
    for wanted in (resource.RLIM_INFINITY, hard + 1):
        try:
            resource.setrlimit(limit, (wanted, wanted))
            leaks.append(name)
        except (OSError, ValueError):
            pass
print("LEAK: raised " + " ".join(leaks) if leaks else a + b)
