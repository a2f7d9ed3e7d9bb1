# what: System V shared memory, written and detached again, so that no process maps it
# kind: stdin
# verdict: fail
# ends: exited | memory | signal | cpu | wall
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
made = []
size = 100 << 20
try:
    for _ in range(15):
        segment = libc.shmget(0, size, 0o1600)
        if segment < 0:
            break
        made.append(segment)
        place = libc.shmat(segment, None, 0)
        if place in (None, ctypes.c_void_p(-1).value):
            break
        ctypes.memset(place, 120, size)
        libc.shmdt(place)
    else:
        print("LEAK: 1500 MiB in shared segments", flush=True)
finally:
    for segment in made:
        libc.shmctl(segment, 0, None)
