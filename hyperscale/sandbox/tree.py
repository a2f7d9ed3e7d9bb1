"""Measure a tree of processes from /proc. Inside a PID namespace no process leaves the tree."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_ENTRIES = 100_000
_AVAILABLE = re.compile(rb"^MemAvailable:\s+(\d+) kB", re.MULTILINE)
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class Usage(NamedTuple):
    """Threads and resident bytes of all processes; shared memory counts in each."""

    tasks: int
    resident_bytes: int


def members(root: int) -> dict[int, int]:
    """Map `root` and its descendants to their numbers of threads; processes that end meanwhile are left out."""
    found: dict[int, int] = {}
    waiting = [root]
    while waiting:
        process = waiting.pop()
        with suppress(OSError):
            found[process] = len(os.listdir(f"/proc/{process}/task"))
            waiting += children(process)
    return found


def children(process: int) -> list[int]:
    """List the children of a process's threads that it has not yet waited for."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with suppress(OSError):
                found += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
    return found


def usage(root: int) -> Usage:
    """Measure a tree now."""
    found = members(root)
    resident = 0
    for process in found:
        with suppress(OSError, IndexError):
            resident += int(_read(f"/proc/{process}/statm").split()[1]) * _PAGE
    return Usage(sum(found.values()), resident)


def fair_bytes(root: int) -> int:
    """Sum a tree's bytes, shared memory counted once. Slow: call it only where `usage` exceeds a limit."""
    total = 0
    for process in members(root):
        with suppress(OSError):
            found = _PSS.search(_read(f"/proc/{process}/smaps_rollup"))
            total += int(found[1]) * 1024 if found else 0
    return total


def entries_left(process: int) -> int:
    """Count the files that a program may still make; below 0 it has too many. Each takes kernel memory."""
    left = _MOST_ENTRIES
    for folder in ("tmp", "dev/shm"):
        with suppress(OSError):
            # Both calls on one descriptor: the path changes its target while the namespace is made.
            place = os.open(f"/proc/{process}/root/{folder}", os.O_PATH | os.O_DIRECTORY)
            try:
                if os.fstat(place).st_dev not in _host_devices():
                    found = os.fstatvfs(place)
                    left = min(left, _MOST_ENTRIES - (found.f_files - found.f_ffree))
            finally:
                os.close(place)
    return left


@cache
def _host_devices() -> frozenset[int]:
    return frozenset(os.stat(path).st_dev for path in ("/", "/tmp", "/dev", "/dev/shm") if os.path.isdir(path))


def available_bytes() -> int:
    """Read the machine's available memory."""
    with suppress(OSError):
        if found := _AVAILABLE.search(_read("/proc/meminfo")):
            return int(found[1]) * 1024
    return 1 << 62


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
