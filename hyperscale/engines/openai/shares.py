"""The machine time of requests that run side by side on a server that tells no times of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray


@dataclass
class Share:
    """What one request took: of its last attempt, and of those that failed before it."""

    seconds: float = 0.0
    """Its part of the last attempt's time: each moment is divided evenly among the requests in flight."""
    wasted: float = 0.0
    """The same of the attempts before it. Waits between attempts are not counted: nothing ran."""
    beside: float = 0.0
    """Requests in flight, itself among them, averaged over the last attempt."""

    def step_micros(self, steps: int) -> NDArray[np.int64]:
        """Microseconds of each decode step: evenly those of the last attempt, what was wasted in step 0."""
        bounds = np.rint(np.linspace(0, self.seconds * 1e6, steps + 1)).astype(np.int64)
        micros = np.diff(bounds)
        micros[:1] += round(self.wasted * 1e6)
        return micros


class Shares:
    """Divides each moment evenly among the requests in flight. Their shares add up to the time in which any was."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._flying = 0
        self._last = clock()
        self._shared = 0.0
        """Integral of dt / requests in flight."""
        self._summed = 0.0
        """Integral of requests in flight x dt."""

    @contextmanager
    def attempt(self, share: Share) -> Iterator[None]:
        """One attempt of a request; what it took is entered in `share`."""
        share.wasted += share.seconds
        now, shared, summed = self._advance(+1)
        try:
            yield
        finally:
            end, shared_then, summed_then = self._advance(-1)
            share.seconds = shared_then - shared
            share.beside = (summed_then - summed) / (end - now) if end > now else 1.0

    def _advance(self, change: int) -> tuple[float, float, float]:
        """Bring the integrals up to now; from now on `change` more requests are in flight."""
        with self._lock:
            now = self._clock()
            if self._flying:
                self._shared += (now - self._last) / self._flying
                self._summed += (now - self._last) * self._flying
            self._last = now
            self._flying += change
            return now, self._shared, self._summed
