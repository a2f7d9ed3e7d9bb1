# what: setuid(0), setgid(0), new groups, a better priority, exemption from the OOM killer
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())


def adjust():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")


attempts = {
    "setuid": lambda: os.setuid(0),
    "setresuid": lambda: os.setresuid(0, 0, 0),
    "setgid": lambda: os.setgid(0),
    "setgroups": lambda: os.setgroups([0]),
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    "oom": adjust,
}
leaks = []
for name, attempt in attempts.items():
    try:
        attempt()
        leaks.append(name)
    except OSError:
        pass
print("LEAK: " + " ".join(leaks) if leaks else a + b)
