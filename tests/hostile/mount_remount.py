# what: mounts a tmpfs and makes the root writable again with mount(2)
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import tempfile

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
place = tempfile.mkdtemp().encode()
if libc.mount(b"none", place, b"tmpfs", 0, None) == 0:
    leaks.append("mounted a tmpfs")
    libc.umount2(place, 2)
if libc.mount(b"/", place, None, 4096, None) == 0:
    leaks.append("bound / elsewhere")
    libc.umount2(place, 2)
if libc.mount(None, b"/", None, 32 | 4096, None) == 0:
    leaks.append("remounted /")
for number, arguments in ((430, (b"tmpfs", 0)), (428, (-100, b"/", 1))):
    if libc.syscall(number, *arguments) >= 0:
        leaks.append(f"system call {number}")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
