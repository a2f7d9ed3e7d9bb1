# what: makes a user namespace of its own to be root in, then mounts there
# kind: stdin
# verdict: pass
# ends: exited
import ctypes
import os
import signal

a, b = map(int, input().split())
libc = ctypes.CDLL(None, use_errno=True)
leaks = []
pid = os.fork()
if pid == 0:
    os._exit(7 if libc.unshare(0x10000000 | 0x00020000) == 0 else 0)
if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7:
    leaks.append("unshare gave a user namespace")
for flags in (0x10000000, 0x00020000, 0x40000000, 0x20000000):
    child = libc.syscall(56, ctypes.c_ulong(flags | signal.SIGCHLD), None, None, None, None)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
        leaks.append(f"clone gave a namespace {flags:#x}")
print("LEAK: " + "; ".join(leaks) if leaks else a + b)
