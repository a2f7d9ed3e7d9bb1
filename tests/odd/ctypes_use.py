# what: libc through ctypes
import ctypes

libc = ctypes.CDLL(None)
a, b = input().split()
print(libc.atoi(a.encode()) + libc.atoi(b.encode()))
