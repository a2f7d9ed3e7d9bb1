"""What every sandbox takes and gives: a program, limits on it, and how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Lock
from weakref import WeakSet

from hyperscale.sandbox.process import Running
from hyperscale.sandbox.program import Ended, Limits, Program


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
