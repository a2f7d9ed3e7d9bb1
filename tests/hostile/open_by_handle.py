# what: opens files of the host by their handle (the way out of early Docker)
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os
import struct

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
for place in ("/usr", "/tmp", "/"):
    try:
        door = os.open(place, os.O_RDONLY)
    except OSError:
        continue
    for inode in (2, 1, 128):
        handle = ctypes.create_string_buffer(struct.pack("IiII", 8, 1, inode, 0))
        if libc.syscall(304, door, handle, 0) >= 0:
            leaks.append(f"inode {inode} beside {place}")
    os.close(door)
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
