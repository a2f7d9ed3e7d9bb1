"""What every sandbox takes and gives: a program, limits on it, and how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

if TYPE_CHECKING:
    from hyperscale.sandbox.process import Running

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


class Sandbox(ABC):
    """Runs programs that nobody trusts. Safe to use from several threads."""

    name: str
    isolates: bool = True
    """False where nothing but limits stands between the program and the machine."""

    def __init__(self) -> None:
        self._programs: WeakSet[Running] = WeakSet()
        self._lock = Lock()
        self._closed = False

    def start(self, program: Program, limits: Limits) -> Running:
        """Start a program; the caller talks to it, and must end it with `close`. RuntimeError once closed."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the sandbox is closed")
            running = self._start(program, limits)
            running.sandbox = self  # What it holds open must live as long as its programs.
            self._programs.add(running)
        return running

    def run(self, program: Program, limits: Limits, stdin: bytes = b"") -> Ended:
        """Run a program to its end, or to that of a limit. Nothing of it is left on return."""
        with self.start(program, limits) as running:
            return running.finish(stdin)

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What the manifest keeps: name, version, and what of it this machine could not give."""

    def close(self) -> None:
        """End every program, and give back what the sandbox holds. A second time it does nothing."""
        with self._lock:
            first, self._closed = not self._closed, True
            programs = list(self._programs)
        for running in programs:
            running.abort()
        if first:
            self._release()

    def _release(self) -> None:  # noqa: B027
        """Give back what the sandbox holds open."""

    @abstractmethod
    def _start(self, program: Program, limits: Limits) -> Running:
        """Start a program."""
