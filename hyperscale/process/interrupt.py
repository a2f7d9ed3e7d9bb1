"""Handle Ctrl-C and SIGTERM during a run, the first ends it cleanly, the second at once; and pace plain progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self, TypeVar

LINE_SECONDS = 30.0
"""Seconds between two plain lines of progress."""

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Catches the first signal and interrupts work inside `breakable()` alone, so that a chain is stored whole or not.

    A second signal raises KeyboardInterrupt anywhere. Off the main thread signals cannot be caught, and are left alone.
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
        """Let the first signal interrupt this block with KeyboardInterrupt."""
        self._breakable = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._breakable = False

    def take(self, items: Iterator[T]) -> Iterator[T]:
        """Yield items until the first signal, which drops the item being made."""
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
