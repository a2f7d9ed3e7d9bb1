"""Who holds a folder: a process, named so that this machine can tell whether it is alive."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

_SAME_START_SECONDS = 2.0
"""Readings of one process's start differ by less: rather alive than dead."""
_COMMAND_LENGTH = 120


@dataclass(frozen=True)
class Holder:
    """A process that took a folder."""

    host: str
    pid: int
    started: float
    """Seconds from the machine's boot to the start of the process."""
    command: str
    since: str
    """Time at which it took the folder, UTC."""
    machine: str
    """Boot and namespace in which `pid` counts; empty where the system does not tell (no /proc)."""
    token: str
    """Random: no two objects are equal."""

    @classmethod
    def of_this_process(cls) -> Holder:
        """Name this process, under a new token."""
        process = psutil.Process()
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        return cls(
            host=socket.gethostname(),
            pid=process.pid,
            started=_started(process),
            command=" ".join(command.split())[:_COMMAND_LENGTH],
            since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            machine=_machine(),
            token=secrets.token_hex(8),
        )

    @classmethod
    def parsed(cls, content: bytes) -> Holder | None:
        """Read what `encoded` wrote; None where the bytes are something else."""
        try:
            holder = cls(**json.loads(content))
        except (ValueError, TypeError):
            return None
        numbers = type(holder.pid) is int and type(holder.started) is float
        return holder if numbers and holder.pid > 0 else None

    def encoded(self) -> bytes:
        """Write as JSON."""
        return json.dumps(asdict(self), indent=2).encode()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} ({self.command})"

    def lives(self) -> bool | None:
        """Tell whether the process runs on this machine; None where this process cannot know."""
        if not self.machine or self.machine != _machine():
            return None
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            # A process number is given again.
            return abs(_started(process) - self.started) < _SAME_START_SECONDS
        except psutil.NoSuchProcess:
            return None if _exists(self.pid) else False
        except psutil.AccessDenied:
            return True


def _exists(pid: int) -> bool:
    """Tell whether some process has this number, also where /proc hides the processes of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _started(process: psutil.Process) -> float:
    """Seconds from boot to a process's start, which no change of the clock moves."""
    started: float = process.create_time() - psutil.boot_time()
    return started


def _machine() -> str:
    """Boot of this kernel and namespace of its process ids; empty where the system does not tell."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
