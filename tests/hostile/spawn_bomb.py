# what: subprocess.Popen of sleeping interpreters until refused
# kind: stdin
# verdict: fail
# ends: exited | processes | wall | cpu | memory
import subprocess
import sys
import time

made = []
end = time.monotonic() + 20
try:
    while len(made) < 150 and time.monotonic() < end:
        made.append(subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(12)"], stdin=subprocess.DEVNULL))
except OSError:
    pass
alive = sum(child.poll() is None for child in made)
if alive > 100:
    print("LEAK:", alive, "processes at once", flush=True)
