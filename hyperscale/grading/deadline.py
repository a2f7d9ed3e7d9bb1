"""Waiting for worker processes, for none longer than a limit of seconds that no wall clock decides."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

_LOOK_SECONDS = 0.05


def settle(futures: Collection[Future[Any]], seconds: float) -> set[Future[Any]]:
    """Wait until all are done; cancel, and return, those that ran for longer than `seconds`.

    pebble has time limits of its own, but measures them by the wall clock: set forward, it would fail whatever runs.
    """
    began: dict[Future[Any], float] = {}
    late: set[Future[Any]] = set()
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
