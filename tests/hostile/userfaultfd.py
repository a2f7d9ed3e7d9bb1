# what: userfaultfd, the helper of many kernel exploits
# kind: stdin
# verdict: pass
# ends: exited
import ctypes

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
made = max(libc.syscall(323, flags) for flags in (0, 1))
print("LEAK: userfaultfd" if made >= 0 else a + b)
