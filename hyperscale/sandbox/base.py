"""The contract of a sandbox: it runs a program under limits and reports its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Lock
from typing import TypedDict
from weakref import WeakSet

from hyperscale.sandbox.process import Running
from hyperscale.sandbox.program import Ended, Limits, Program


class Description(TypedDict):
    """A sandbox's entry in the manifest."""

    name: str
    version: str
    seccomp: bool
    """True if system calls are filtered."""
    runtime: dict[str, str]
    """Versions of the interpreter and its packages."""


class Sandbox(ABC):
    """A place for untrusted programs. Thread-safe."""

    name: str
    isolates: bool = True
    """False where limits are the machine's only protection."""

    def __init__(self) -> None:
        self._programs: WeakSet[Running] = WeakSet()
        self._lock = Lock()
        self._closed = False

    def start(self, program: Program, limits: Limits) -> Running:
        """Start a program; the caller must end it with `close`. RuntimeError once the sandbox is closed."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the sandbox is closed")
            running = self._start(program, limits)
            running.sandbox = self  # The sandbox's resources must live as long as its programs.
            self._programs.add(running)
        return running

    def run(self, program: Program, limits: Limits, stdin: bytes = b"") -> Ended:
        """Run a program to its end or a limit. None of its processes or files are left on return."""
        with self.start(program, limits) as running:
            return running.finish(stdin)

    @abstractmethod
    def describe(self) -> Description:
        """Describe the sandbox for the manifest."""

    def close(self) -> None:
        """End every program and release the sandbox's resources. Idempotent."""
        with self._lock:
            first, self._closed = not self._closed, True
            programs = list(self._programs)
        for running in programs:
            running.abort()
        if first:
            self._release()

    def _release(self) -> None:  # noqa: B027
        """Release the sandbox's resources."""

    @abstractmethod
    def _start(self, program: Program, limits: Limits) -> Running:
        """Start a program."""
