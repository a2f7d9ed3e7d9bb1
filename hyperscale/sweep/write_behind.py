"""Store samples and grades together instead of one by one: a file a chain would cost more than a short chain does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Thread
from types import TracebackType
from typing import Literal, Self

from hyperscale.results.rows import Row
from hyperscale.results.store import Store

SECONDS = 1.0
"""Longest time that a finished sample waits for others; a kill loses no more."""
MOST_ROWS = 256
"""Rows of a table that are stored without waiting longer."""

Table = Literal["samples", "grades"]


class WriteBehind:
    """Rows on their way into a store, as one part for all that arrived within SECONDS.

    A row that comes SECONDS after the last write is stored at once; a thread stores the others when their time is up.
    Other writes to the same tables go through `alone`. Leaving the context stores what waits.
    """

    def __init__(self, store: Store, seconds: float | None = None) -> None:
        self._store = store
        self._seconds = SECONDS if seconds is None else seconds
        self._changed = Condition()
        self._waiting: dict[Table, list[Row]] = {"samples": [], "grades": []}
        self._stored: list[Row] = []
        self._error: BaseException | None = None
        self._due = 0.0
        self._thread: Thread | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Take rows to store. Raises what an earlier write raised."""
        with self._changed:
            self._raise()
            assert not self._closed
            self._waiting[table] += rows
            if time.monotonic() >= self._due or len(self._waiting[table]) >= MOST_ROWS:
                self._write()
            elif self._thread is None:
                self._thread = Thread(target=self._write_when_due, name="write-behind", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def stored_samples(self) -> list[Row]:
        """Return the samples that were stored since the last call. Raises what a write raised."""
        with self._changed:
            self._raise()
            stored, self._stored = self._stored, []
            return stored

    def flush(self) -> None:
        """Store everything that waits. Raises what a write raised."""
        with self._changed:
            self._raise()
            self._write()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the thread from the store meanwhile."""
        with self._changed:
            yield

    def close(self) -> None:
        """Store everything that waits and end the thread. Raises what a write raised."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._changed:
            self._raise()
            self._write()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self) -> None:
        for table, rows in self._waiting.items():
            if rows:
                self._store.append(table, rows)
                if table == "samples":
                    self._stored += rows
                self._waiting[table] = []
        self._due = time.monotonic() + self._seconds

    def _write_when_due(self) -> None:
        with self._changed:
            while not self._closed:
                if not any(self._waiting.values()):
                    self._changed.wait()
                elif (left := self._due - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    try:
                        self._write()
                    except BaseException as error:  # Told to the next who calls.
                        self._error, self._thread = error, None
                        return
