# what: runs a setuid program to gain rights
# kind: stdin
# verdict: pass
# ends: exited
import glob
import os
import stat
import subprocess

a, b = map(int, input().split())
leaks = []
for path in glob.glob("/bin/*") + glob.glob("/usr/bin/*") + glob.glob("/usr/sbin/*"):
    try:
        mode = os.stat(path).st_mode
    except OSError:
        continue
    if mode & stat.S_ISUID and os.path.basename(path) in ("sudo", "su", "pkexec"):
        try:
            run = subprocess.run([path, "-n", "id"], stdin=subprocess.DEVNULL, capture_output=True, timeout=1)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if b"uid=0" in run.stdout:
            leaks.append(path)
print("LEAK: " + " ".join(leaks) if leaks else a + b)
