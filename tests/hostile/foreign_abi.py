# what: system calls by the x32 and i386 numbers, which a filter for x86-64 may overlook
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import mmap
import os

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)


def x32():
    return libc.syscall(ctypes.c_long(0x40000000 | 39))


def i386():
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


leaks = []
for call in (x32, i386):
    pid = os.fork()
    if pid == 0:
        os._exit(7 if call() > 0 else 0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7:
        leaks.append(call.__name__)
print("LEAK: calls of " + " ".join(leaks) if leaks else a + b)
