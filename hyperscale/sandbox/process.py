"""Feed, read, watch and end a running program and its descendants."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from hyperscale.sandbox.program import Ended, Limits, Why
from hyperscale.sandbox.tree import available_bytes, children, entries_left, fair_bytes, usage

_CHUNK = 1 << 16
_FLOOR_BYTES = 256 << 20
"""Memory that the machine must have left: below it every program is ended, before the kernel kills something else."""
_KEPT_ERRORS = 1 << 16
_OWN_TASKS = 3
"""The sandbox's own processes in a program's tree."""
_WATCH_SECONDS = 0.05
_GRACE_SECONDS = 2.0
"""Wait for a dead program's pipes to close: until then a descendant is alive."""


class Spawned(NamedTuple):
    """A process, and the non-blocking outer ends of its pipes."""

    process: subprocess.Popen[bytes]
    stdin: int
    stdout: int
    stderr: int


class Running:
    """A program started by a sandbox, with pipes as stdin, stdout and stderr. A context manager that ends it.

    Call either `finish`, or any number of `ask` and then `close`. `contained`: it runs in a PID namespace, whose first
    process is a child of `process`. `cleanup` is called once no process is left.
    """

    sandbox: object = None
    """The sandbox that started it, kept alive by this reference."""

    def __init__(
        self,
        spawned: Spawned,
        limits: Limits,
        *,
        contained: bool = True,
        cleanup: Callable[[], None] = lambda: None,
    ) -> None:
        self._process, self._in, self._out, self._err = spawned
        self._limits = limits
        self._contained = contained
        self._cleanup = cleanup
        self._began = time.monotonic()
        self._why: Why = "exited"
        self._stdout, self._stderr = bytearray(), bytearray()
        self._written = 0
        self._next_watch = self._began + _WATCH_SECONDS
        self._closed = False
        self._seconds, self._code = 0.0, 0
        try:
            self._exit = os.pidfd_open(self._process.pid)
        except OSError:
            self._kill_all()
            raise
        self._open = {self._in, self._out, self._err, self._exit}
        self._selector = selectors.DefaultSelector()
        for file in (self._out, self._err, self._exit):
            self._selector.register(file, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def finish(self, stdin: bytes = b"") -> Ended:
        """Send the program its input and wait for its end or a limit's."""
        self._pump(stdin, lambda: False, self._began + self._limits.wall_seconds, then_close=True)
        return self.close()

    def ask(self, line: bytes, seconds: float) -> bytes | None:
        """Send a line (without its newline) and wait for one; None where the program ended or time ran out.

        After None, `close` the program.
        """
        if b"\n" in self._stdout:
            return None  # An answer before the question: another process writes there.
        self._written = 0
        deadline = min(time.monotonic() + seconds, self._began + self._limits.wall_seconds)
        self._pump(line + b"\n", lambda: b"\n" in self._stdout, deadline, then_close=False)
        answer, mark, rest = bytes(self._stdout).partition(b"\n")
        if not mark or rest:
            return None  # No answer, or more than one: another process writes there too.
        self._stdout.clear()
        return answer

    def close(self) -> Ended:
        """End all processes still running, and report how the program ended."""
        if not self._closed:
            self._closed = True
            self._kill()
            code = self._process.wait()
            self._drain()
            self._selector.close()
            for file in self._open:
                os.close(file)
            self._cleanup()
            self._seconds = time.monotonic() - self._began
            self._code = code if code >= 0 else 128 - code
            self._why = self._explain(self._code)
        return Ended(self._why, self._code, bytes(self._stdout), bytes(self._stderr), self._seconds)

    def abort(self) -> None:
        """End the program from another thread; a thread that waits for it sees it ended."""
        if not self._closed:
            self._kill_first()
            self._kill_all()

    def _explain(self, code: int) -> Why:
        """Tell the limit on processor time from the exit code: the kernel reports it by a signal alone."""
        soft, hard = code == 128 + signal.SIGXCPU, code == 128 + signal.SIGKILL
        # The kernel counts in ticks, and may be early by one.
        used_up = self._seconds >= 0.9 * self._limits.cpu_seconds
        return "cpu" if self._why == "exited" and used_up and (soft or hard) else self._why

    def _pump(self, stdin: bytes, stop: Callable[[], bool], deadline: float, *, then_close: bool) -> None:
        """Move bytes until `stop`, the program's end, or a limit, which is then recorded as the reason."""
        unsent = memoryview(stdin)
        if unsent or then_close:
            self._selector.register(self._in, selectors.EVENT_WRITE)
        ended = False
        while not (ended or stop()):
            now = time.monotonic()
            if now >= deadline:
                self._why = "wall"
                break
            if now >= self._next_watch:
                self._watch()
            if self._why != "exited":
                break
            for key, _ in self._selector.select(min(deadline, self._next_watch) - now):
                if key.fd == self._in:
                    unsent = self._send(unsent, then_close)
                elif key.fd == self._exit:
                    ended = True
                else:
                    self._receive(key.fd)
        if self._registered(self._in):
            self._selector.unregister(self._in)

    def _send(self, unsent: memoryview, then_close: bool) -> memoryview:
        try:
            unsent = unsent[os.write(self._in, unsent[:_CHUNK]) :] if unsent else unsent
        except BlockingIOError:
            return unsent
        except OSError:
            unsent = memoryview(b"")  # The program has closed its end.
        if not unsent:
            self._selector.unregister(self._in)
            if then_close:
                os.close(self._in)
                self._open.remove(self._in)
        return unsent

    def _receive(self, pipe: int) -> bool:
        """Read a pipe once; False at its end or where it is empty."""
        try:
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._selector.unregister(pipe)
            return False
        kept = self._stdout if pipe == self._out else self._stderr
        kept += chunk[: max(self._limits.output_bytes - self._written, 0)]
        self._written += len(chunk)
        if kept is self._stderr:
            del kept[:-_KEPT_ERRORS]
        if self._written > self._limits.output_bytes and self._why == "exited":
            self._why = "output"
        return True

    def _drain(self) -> None:
        """Read the pipes to their end."""
        deadline = time.monotonic() + _GRACE_SECONDS
        for file in (self._out, self._err):
            while self._registered(file) and self._why != "output" and time.monotonic() < deadline:
                if not self._receive(file) and self._registered(file):
                    time.sleep(0.001)

    def _registered(self, file: int) -> bool:
        return file in self._selector.get_map()

    def _watch(self) -> None:
        self._next_watch = time.monotonic() + _WATCH_SECONDS
        held = usage(self._process.pid)
        if held.tasks > self._limits.processes + _OWN_TASKS:
            self._why = "processes"
        elif self._holds_too_much(held.resident_bytes):
            self._why = "memory"

    def _holds_too_much(self, resident_bytes: int) -> bool:
        """Check memory: of the processes, of their entries in folders, and of the machine."""
        most = self._limits.memory_bytes
        if available_bytes() < _FLOOR_BYTES:
            return True
        if self._contained and any(entries_left(child) < 0 for child in children(self._process.pid)):
            return True
        return resident_bytes > most and fair_bytes(self._process.pid) > most

    def _kill(self) -> None:
        """Kill the namespace's first process: the kernel then ends all in it, and the sandbox's own process exits.

        In the other order the first process might never be reaped: a zombie for each program.
        """
        if not self._contained:
            self._kill_all()  # Descendants, too, while they are in its group.
        if self._process.poll() is not None:
            return
        self._kill_first()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS if self._contained else 0)
        if self._process.poll() is None:
            self._kill_all()

    def _kill_first(self) -> None:
        for child in children(self._process.pid) if self._contained else ():
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)

    def _kill_all(self) -> None:
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
