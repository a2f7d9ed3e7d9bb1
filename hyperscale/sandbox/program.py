"""An untrusted program, its limits, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BOX = "/box"
"""Folder of the program's files inside the sandbox, read-only."""

SCRATCH = "/tmp"
"""The program's working folder, the only one that it may write to; empty at its start."""

MIB = 1 << 20

Why = Literal["exited", "cpu", "wall", "memory", "output", "processes"]
"""Cause of a program's end: itself (`exited`, by a signal, too) or a limit. `cpu`: the kernel's, on processor time."""


@dataclass(frozen=True)
class Limits:
    """Limits on a program, in bytes, seconds and counts; on memory for all its processes together."""

    cpu_seconds: int = 6
    """Processor time of one process, in whole seconds, as the kernel counts."""
    wall_seconds: float = 18.0
    """Total time, against programs that sleep. Longer than processor time, so that a busy machine fails no program."""
    memory_bytes: int = 2048 * MIB
    processes: int = 64
    """Processes and threads."""
    scratch_bytes: int = 256 * MIB
    """All files in SCRATCH; shared memory gets the same again."""
    output_bytes: int = 32 * MIB
    """stdout and stderr together."""
    open_files: int = 256
    stack_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Program:
    """A Python program: `arguments` follow the interpreter, `files` are in BOX under their names."""

    arguments: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def script(cls, source: str) -> Program:
        """Make a program of one file. Lone surrogates, which UTF-8 cannot encode, are replaced."""
        return cls((f"{BOX}/program.py",), {"program.py": source.encode("utf-8", "replace")})


@dataclass(frozen=True)
class Ended:
    """Cause of a program's end and its output, up to `output_bytes`."""

    why: Why
    code: int
    """Exit code; 128 + N where signal N ended it."""
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def well(self) -> bool:
        """True if it ended by itself with exit code 0."""
        return self.why == "exited" and self.code == 0
