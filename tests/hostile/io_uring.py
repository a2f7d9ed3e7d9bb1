# what: io_uring, whose requests pass by a filter of system calls
# kind: stdin
# verdict: pass
# ends: exited
import ctypes

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
made = libc.syscall(425, 4, ctypes.create_string_buffer(120))
print("LEAK: io_uring" if made >= 0 else a + b)
