"""Make a sandbox by system calls alone. Run as `python -I -S stage.py FD`; imports only the standard library.

FD holds the request as JSON, written by `namespaces.py`. The process leaves the host's namespaces and forks the first
process of a new PID namespace, which builds a file system, drops all rights, and starts the program as its child.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import Any

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
SET_DEATH_SIGNAL, SET_DUMPABLE, SET_SECCOMP, DROP_BOUND, SET_NO_NEW_PRIVILEGES, AMBIENT = 1, 4, 22, 24, 38, 47
CLEAR_AMBIENT = 4
CAPABILITY_VERSION = 0x20080522
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
CAPSET = {"x86_64": 126, "aarch64": 91}
KEPT = NOSUID | NODEV | 8 | 1024 | 2048 | 1 << 21
"""Flags of a mount that a user namespace may not clear: these, noexec, and the atime flags."""

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    """Raise OSError where a call of libc failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def call(numbers: dict[str, int], *arguments: Any) -> int:
    """Make a system call without a libc function; `numbers` by machine."""
    return int(libc.syscall(ctypes.c_long(numbers[os.uname().machine]), *arguments))


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Call mount(2)."""
    texts = [text.encode() for text in (source, target, kind)]
    checked(libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def tmpfs(target: str, size: int, mode: str = "755") -> None:
    """Mount an empty folder in memory, of at most `size` bytes."""
    os.makedirs(target, exist_ok=True)
    # nr_inodes: each entry of a folder costs memory that the size does not count.
    mount("tmpfs", target, "tmpfs", NOSUID | NODEV, f"size={size},mode={mode},nr_inodes=100000")


def show(source: str, target: str) -> None:
    """Mount a file or folder of the host, read-only."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    mount(source, target, "", BIND)
    flags = os.statvfs(source).f_flag & KEPT
    mount(source, target, "", BIND | REMOUNT | RDONLY | NOSUID | flags)


def become(user: int, group: int, inside: int) -> None:
    """Enter a new user namespace in which `user` appears as `inside`."""
    checked(libc.unshare(NEWUSER), "user namespace")
    libc.prctl(SET_DUMPABLE, 1, 0, 0, 0)  # Else /proc/self belongs to root.
    for name, line in (("setgroups", "deny"), ("uid_map", f"{inside} {user} 1"), ("gid_map", f"{inside} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def build(request: dict[str, Any]) -> None:
    """Build the program's file system and make it the root."""
    mount("", "/", "", REC | PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "size=64m,mode=755")
    os.mkdir("/tmp/old")
    os.chdir("/tmp")
    checked(call(PIVOT_ROOT, b".", b"old"), "pivot_root")
    os.chdir("/")
    new, old, size = "/new", "/old", request["scratch_bytes"]
    tmpfs(new, size)
    for path, target in request["links"]:
        os.symlink(target, new + path)
    for path in request["shown"]:
        show(old + path, new + path)
    for path in request["hidden"]:
        tmpfs(new + path, size)
    for place, path in request["packages"]:
        show(old + place, new + path)
    os.mkdir(new + "/proc")
    mount("proc", new + "/proc", "proc", NOSUID | NODEV | 8)
    tmpfs(new + "/dev", size)
    # Shared maps of the real /dev/zero are memory that counts for no process.
    for name, source in (
        ("null", "null"),
        ("zero", "null"),
        ("full", "full"),
        ("random", "random"),
        ("urandom", "urandom"),
    ):
        open(f"{new}/dev/{name}", "w").close()
        mount(f"{old}/dev/{source}", f"{new}/dev/{name}", "", BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{new}/dev/{name}")
    tmpfs(new + "/dev/shm", size, "1777")
    tmpfs(new + request["scratch"], size, "1777")
    os.makedirs(new + request["box"])
    for name, content in request["files"].items():
        with open(f"{new}{request['box']}/{name}", "wb") as file:
            file.write(base64.b64decode(content))
    for path in [*request["hidden"], "/dev", ""]:
        mount("", new + path, "", REMOUNT | BIND | RDONLY | NOSUID | (0 if path == "/dev" else NODEV))
    os.chdir(new)
    checked(call(PIVOT_ROOT, b".", b"."), "pivot_root")
    checked(libc.umount2(b".", DETACH), "leaving the old root")
    os.chdir(request["scratch"])


def give_up_rights(request: dict[str, Any]) -> None:
    """Become nobody, without capabilities, for good."""
    nobody = request["nobody"]
    if request["root"]:
        os.setgroups([])
        os.setresgid(nobody, nobody, nobody)
        os.setresuid(nobody, nobody, nobody)
    become(os.getuid(), os.getgid(), nobody)
    for capability in range(64):
        libc.prctl(DROP_BOUND, capability, 0, 0, 0)
    libc.prctl(AMBIENT, CLEAR_AMBIENT, 0, 0, 0)
    header, none = struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)
    checked(call(CAPSET, header, none), "capset")
    checked(libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")


def limit(request: dict[str, Any]) -> None:
    """Set the kernel's limits and the filter of system calls, for this process and its children."""
    for name, values in request["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), tuple(values))
    if request["filter"]:
        code = base64.b64decode(request["filter"])
        held = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
        checked(libc.prctl(SET_SECCOMP, 2, program, 0, 0), "seccomp")


def first_process(request: dict[str, Any]) -> int:
    """Run as process 1 of the namespace, whose end ends all others. Returns the program's exit code."""
    libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    os.setsid()
    build(request)
    libc.sethostname(b"sandbox", 7)
    give_up_rights(request)
    libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # Changing the user cleared it.
    child = os.fork()
    if child == 0:
        libc.prctl(SET_DEATH_SIGNAL, 0, 0, 0, 0)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        limit(request)
        command = request["command"]
        os.execve(command[0], command, request["environment"])
    libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    while True:
        ended, status = os.wait()
        if ended == child:
            return status_code(status)


def status_code(status: int) -> int:
    """Convert a wait status to an exit code."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def follow(parent: int) -> None:
    """End with the parent process, also where it has ended already."""
    libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(125)


def main() -> int:
    """Return the program's exit code; 128 + N where signal N ended it; 125 where the sandbox failed."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        request = json.load(file)
    follow(request["parent"])
    spaces = NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS | NEWCGROUP
    try:
        if not request["root"]:
            become(os.getuid(), os.getgid(), 0)
            follow(request["parent"])
        checked(libc.unshare(spaces), "namespaces")
        child = os.fork()
        if child == 0:
            os._exit(first_process(request))
    except OSError as error:
        print(f"sandbox: {error}", file=sys.stderr, flush=True)
        os._exit(125)
    return status_code(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    os._exit(main())
