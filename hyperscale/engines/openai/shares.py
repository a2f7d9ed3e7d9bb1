"""Machine time of concurrent requests to a server that reports no times of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Share:
    """Time and company of one request."""

    seconds: float = 0.0
    """Its part of the last attempt's time: each moment is divided evenly among the requests in flight."""
    wasted: float = 0.0
    """The same of the failed attempts before it. Waits between attempts are not counted: nothing ran."""
    beside: float = 0.0
    """Requests in flight, itself included, averaged over the last attempt."""

    def step_micros(self, steps: int) -> NDArray[np.int64]:
        """Microseconds of each decode step: the last attempt's evenly, those of failed attempts in step 0."""
        bounds = np.rint(np.linspace(0, self.seconds * 1e6, steps + 1)).astype(np.int64)
        micros = np.diff(bounds)
        micros[:1] += round(self.wasted * 1e6)
        return micros


class Shares:
    """Divides each moment evenly among the requests in flight, all on one event loop.

    Their shares add up to the time in which any was in flight.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flying = 0
        self._last = clock()
        self._shared = 0.0
        """Integral of dt / requests in flight."""
        self._summed = 0.0
        """Integral of requests in flight x dt."""

    @contextmanager
    def attempt(self, share: Share) -> Iterator[None]:
        """Enter the time of one attempt of a request into `share`."""
        share.wasted += share.seconds
        start, shared, summed = self._advance(+1)
        try:
            yield
        finally:
            end, shared_then, summed_then = self._advance(-1)
            share.seconds = shared_then - shared
            share.beside = (summed_then - summed) / (end - start) if end > start else 1.0

    def _advance(self, change: int) -> tuple[float, float, float]:
        """Bring the integrals up to now; from now on `change` more requests are in flight."""
        now = self._clock()
        if self._flying:
            self._shared += (now - self._last) / self._flying
            self._summed += (now - self._last) * self._flying
        self._last = now
        self._flying += change
        return now, self._shared, self._summed
