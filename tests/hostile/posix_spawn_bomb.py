# what: posix_spawn (vfork inside libc) of sleeping interpreters until refused
# kind: stdin
# verdict: fail
# ends: exited | processes | wall | cpu | memory
import os
import sys
import time

made = 0
end = time.monotonic() + 20
try:
    while made < 150 and time.monotonic() < end:
        os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(12)"], {})
        made += 1
except OSError:
    pass
if made > 100:
    print("LEAK:", made, "processes at once", flush=True)
