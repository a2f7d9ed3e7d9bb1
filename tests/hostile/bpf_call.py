# what: makes a BPF map
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import struct

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
attributes = ctypes.create_string_buffer(struct.pack("5I", 2, 4, 4, 1, 0), 128)
made = libc.syscall(321, 0, attributes, 128)
print("LEAK: a BPF map" if made >= 0 else a + b)
