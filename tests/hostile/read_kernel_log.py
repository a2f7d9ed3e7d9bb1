# what: the kernel's log, by system call and by device
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os

a, b = map(int, input().split())
leaks = []
buffer = ctypes.create_string_buffer(4096)
if ctypes.CDLL(None).klogctl(3, buffer, 4096) > 0:
    leaks.append("syslog")
try:
    os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    leaks.append("/dev/kmsg")
except OSError:
    pass
print("LEAK: " + " ".join(leaks) if leaks else a + b)
