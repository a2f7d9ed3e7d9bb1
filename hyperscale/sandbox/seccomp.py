"""Filter system calls that a program under test never needs and that have allowed escapes.

A refused call returns an error, so that a program that only tries one goes on. The table holds the numbers of x86-64
and arm64; other machines have no filter.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import NamedTuple

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _FIRST, _SECOND, _THIRD, _FOURTH = 0, 4, 16, 24, 32, 40
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_FAMILIES = (1,)
"""AF_UNIX alone. Some others ignore namespaces, and buffers of AF_INET count against the whole machine's."""
_SHARED_ANONYMOUS, _SMALL_MAP = 0x21, 1 << 16
"""MAP_SHARED and MAP_ANONYMOUS: pages count for no process once its mapping has shrunk; small maps are allowed."""
_SOL_SOCKET, _BUFFERS = 1, (7, 8, 32, 33)
"""SO_SNDBUF, SO_RCVBUF and their FORCE variants: data in a socket counts for no process."""
_TERMINAL = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which inject input into the caller's terminal."""


class _Machine(NamedTuple):
    audit: int
    column: int
    highest: int
    """Call numbers from here on belong to another ABI (x32)."""


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 0, 0x40000000),
    "aarch64": _Machine(0xC00000B7, 1, 0x7FFFFFFF),
}

# name: (x86-64, arm64); None where the machine has no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117), "syslog": (103, 116), "uselib": (134, None), "ustat": (136, None),
    "pivot_root": (155, 41), "adjtimex": (159, 171), "chroot": (161, 51), "acct": (163, 89),
    "settimeofday": (164, 170), "mount": (165, 40), "umount2": (166, 39), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "init_module": (175, 105), "delete_module": (176, 106), "quotactl": (179, 60),
    "lookup_dcookie": (212, 18), "clock_settime": (227, 112), "kexec_load": (246, 104), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "unshare": (272, 97), "perf_event_open": (298, 241),
    "fanotify_init": (300, 262), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266), "setns": (308, 268), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "finit_module": (313, 273), "kexec_file_load": (320, 294), "bpf": (321, 280),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "quotactl_fd": (443, 443),
    # Memory that no limit on files or address space counts.
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "vmsplice": (278, 75), "listen": (50, 201),
}  # fmt: skip
_CLONE, _CLONE3, _SOCKET, _SOCKETPAIR, _IOCTL = (56, 220), (435, 435), (41, 198), (53, 199), (16, 29)
_MMAP, _SETSOCKOPT = (9, 222), (54, 208)


def filter_program() -> bytes | None:
    """Assemble the filter for the kernel and bubblewrap (struct sock_filter[]); None on other machines."""
    machine = _MACHINES.get(platform.machine())
    return None if machine is None else _assemble(machine)


def _assemble(machine: _Machine) -> bytes:
    refuse = [_instruction(_RETURN, _ERRNO | errno.EPERM)]
    absent = [_instruction(_RETURN, _ERRNO | errno.ENOSYS)]
    code = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, machine.audit, on_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        *_when(_AT_LEAST, machine.highest, absent),
    ]
    for numbers in _REFUSED.values():
        number = numbers[machine.column]
        if number is not None:
            code += _when(_EQUAL, number, refuse)
    # A filter cannot read clone3's flags, which are in memory; on ENOSYS libc falls back to clone.
    code += _when(_EQUAL, _CLONE3[machine.column], absent)
    code += _when(_EQUAL, _CLONE[machine.column], [_load(_FIRST), *_when(_ANY_BIT, _NEW_NAMESPACES, refuse), _allow()])
    for call in (_SOCKET, _SOCKETPAIR):
        known = [line for family in _FAMILIES for line in _when(_EQUAL, family, [_allow()])]
        code += _when(_EQUAL, call[machine.column], [_load(_FIRST), *known, *refuse])
    typing = [line for request in _TERMINAL for line in _when(_EQUAL, request, refuse)]
    code += _when(_EQUAL, _IOCTL[machine.column], [_load(_SECOND), *typing, _allow()])
    large = [
        _load(_SECOND),
        *_when(_AT_LEAST, _SMALL_MAP + 1, refuse),
        _load(_SECOND + 4),
        *_when(_AT_LEAST, 1, refuse),
    ]
    both = _when(_EQUAL, _SHARED_ANONYMOUS, [*large, _allow()])
    masked = _instruction(_AND, _SHARED_ANONYMOUS)
    code += _when(_EQUAL, _MMAP[machine.column], [_load(_FOURTH), masked, *both, _allow()])
    buffers = [line for option in _BUFFERS for line in _when(_EQUAL, option, refuse)]
    level = _when(_EQUAL, _SOL_SOCKET, [_load(_THIRD), *buffers])
    code += _when(_EQUAL, _SETSOCKOPT[machine.column], [_load(_SECOND), *level, _allow()])
    return b"".join([*code, _allow()])


def _when(test: int, value: int, then: list[bytes]) -> list[bytes]:
    """Run `then` only where the loaded word passes the test."""
    return [_instruction(test, value, on_false=len(then)), *then]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _allow() -> bytes:
    return _instruction(_RETURN, _ALLOW)


def _instruction(code: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)
