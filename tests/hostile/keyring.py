# what: leaves a key in the kernel's keyring, which no namespace separates
# kind: stdin
# verdict: pass
# ends: exited
import ctypes

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
key = libc.syscall(248, b"user", b"hostile-key", b"x", ctypes.c_size_t(1), -2)
if key > 0:
    leaks.append("add_key")
for keyring in (-3, -4):
    if libc.syscall(250, 0, keyring, 0, 0, 0) > 0:
        leaks.append(f"keyctl {keyring}")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
