"""Ctrl-C and SIGTERM during a sweep: the first ends it cleanly, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Catches the first signal. Work in progress is broken off only where it may be: inside `breakable()`.

    So a chain is either not yet there or written down whole. A second signal raises KeyboardInterrupt
    anywhere. Outside of the main thread signals cannot be caught, and are left alone.
    """

    def __init__(self) -> None:
        self.requested = False
        self._breakable = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """A stretch of work that the first signal may break off with KeyboardInterrupt."""
        self._breakable = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._breakable = False

    def take(self, items: Iterator[T]) -> Iterator[T]:
        """Items until the first signal; the one being made then is given up."""
        while True:
            try:
                with self.breakable():
                    item = next(items, None)
            except KeyboardInterrupt:
                return
            if item is None:
                return
            yield item

    def _handle(self, _: int, __: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if self._breakable or not first:
            raise KeyboardInterrupt
