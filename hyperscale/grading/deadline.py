"""Wait for worker processes with a limit on each, measured by the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.05


def settle(futures: Collection[Future[T]], seconds: float) -> set[Future[T]]:
    """Wait until all are done; cancel, and return, those that ran for longer than `seconds`.

    pebble measures its own time limits by the wall clock: set forward, it would fail every running task.
    """
    began: dict[Future[T], float] = {}
    late: set[Future[T]] = set()
    pending = set(futures)
    while pending:
        wait(pending, _LOOK_SECONDS, FIRST_COMPLETED)
        now = time.monotonic()
        pending = {future for future in pending if not future.done()}
        late |= {
            future
            for future in pending
            if future.running() and now - began.setdefault(future, now) > seconds and future.cancel()
        }
        pending -= late
    return late
