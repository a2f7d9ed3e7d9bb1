# what: opens a performance counter on itself
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import struct

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
exclude = (1 << 5) | (1 << 6)
attributes = ctypes.create_string_buffer(struct.pack("IIQQQQQ", 1, 120, 1, 0, 0, 0, exclude), 120)
made = libc.syscall(298, attributes, 0, -1, -1, 0)
print("LEAK: a performance counter" if made >= 0 else a + b)
