"""A program that nobody trusts, limits on it, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BOX = "/box"
"""Folder of the program's files inside the sandbox, read-only."""

SCRATCH = "/tmp"
"""The one folder that a program may write to, empty at its start, and its working folder."""

MIB = 1 << 20

Why = Literal["exited", "cpu", "wall", "memory", "output", "processes"]
"""What ended a program: it did itself (of a signal, too), or a limit. `cpu`: the kernel's, on its processor time."""


@dataclass(frozen=True)
class Limits:
    """What a program may use. Bytes, seconds, counts; `memory` is that of all its processes together."""

    cpu_seconds: int = 6
    """Processor time of one process, whole seconds as the kernel counts them."""
    wall_seconds: float = 18.0
    """Of all: against programs that sleep. Longer than the processor's, so that a busy machine fails nobody."""
    memory_bytes: int = 2048 * MIB
    processes: int = 64
    """Processes and threads."""
    scratch_bytes: int = 256 * MIB
    """Files in SCRATCH together; shared memory gets as much again."""
    output_bytes: int = 32 * MIB
    """Of stdout and stderr together."""
    open_files: int = 256
    stack_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Program:
    """Python to run: `arguments` follow the interpreter, `files` lie in BOX under their names."""

    arguments: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def script(cls, source: str) -> Program:
        """A program of one file. Lone surrogates, which no file can hold, are replaced."""
        return cls((f"{BOX}/program.py",), {"program.py": source.encode("utf-8", "replace")})


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it wrote, as far as `output_bytes` allowed."""

    why: Why
    code: int
    """Exit code; 128 + N where signal N ended it."""
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def well(self) -> bool:
        """It ended by itself with exit code 0."""
        return self.why == "exited" and self.code == 0
