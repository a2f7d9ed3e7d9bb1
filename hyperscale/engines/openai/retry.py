"""When a failed request is sent again, by tenacity, when its server is given up, and all time limits of requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Self, TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from hyperscale.engines.openai.errors import ServerError

T = TypeVar("T")

_SAVED = "What was finished is saved: see to the server, then run the same command again"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """Seconds, unless said otherwise."""

    connect: float = 15.0
    """Until a connection is there, or a list of models."""
    queue: float = 6 * 3600.0
    """Without a byte until a stream begins, or until a whole answer ends: a queue and a long prompt come first. TCP
    keep-alive tells whether the server is still there."""
    silence: float = 600.0
    """Without a byte once a stream has begun."""
    outage: float = 300.0
    """Of failures, with no sign of life in between, until the server is given up."""
    attempts: int = 8
    """Failures of one request while the server is there: it may be this request that brings the server down."""
    first_wait: float = 0.5
    longest_wait: float = 30.0
    """Between two attempts, doubled each time; less a jitter of up to half."""
    warn: float = 5.0
    """Of failures until the user is warned."""
    probe_outage: float = 10.0
    probe_queue: float = 600.0
    """Limits before the first chain, while the user looks on; other requests may still be in the server's queue."""

    def of_probe(self) -> Self:
        """Limits of the requests before the first chain."""
        return replace(self, outage=self.probe_outage, queue=self.probe_queue)


DEFAULT = Timing()


class ServerDown(ValueError):
    """The server is given up, whatever was asked of it."""


@dataclass
class Retries:
    """Policy shared by all requests to a server: any of them that gets through is a sign of life for the others."""

    url: str
    timing: Timing = DEFAULT
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    _failing_since: float | None = None
    _warned: bool = False
    _last_event: float | None = None

    def event(self) -> None:
        """Note that an answer goes on."""
        self._last_event = self.clock()
        self.accepted()

    def accepted(self) -> None:
        """Note that the server took a request, though it may still be in the server's queue."""
        self._failing_since, self._warned = None, False

    async def call(self, attempt: Callable[[], Awaitable[T]], seed: int = 0) -> T:
        """Return the result of `attempt`, repeated while that may help; `seed` draws the jitter of the waits.

        ServerError for a permanent refusal. ValueError where this request fails too often, ServerDown where all do.
        """
        jitter, failures = Random(seed), 0
        backoff = wait_exponential(self.timing.first_wait, self.timing.longest_wait)

        def wait(state: RetryCallState) -> float:
            return max(backoff(state) * (0.5 + 0.5 * jitter.random()), _error_of(state).retry_after)

        def consider(state: RetryCallState) -> None:
            nonlocal failures
            error = _error_of(state)
            # Not a failure of the request's own if others got events while it was silent: it was their turn.
            their_turn = self._last_event is not None and self.clock() - self._last_event < error.silence
            failures += not (error.away or their_turn)
            self._consider(error, failures)

        async def attempted() -> T:
            result = await attempt()
            self.event()
            return result

        transient = retry_if_exception(lambda error: isinstance(error, ServerError) and error.transient)
        result: T = await AsyncRetrying(retry=transient, after=consider, wait=wait, sleep=self.sleep)(attempted)
        return result

    def _consider(self, error: ServerError, failures: int) -> None:
        """Raise ValueError where another attempt is hopeless; warn once of an outage."""
        timing, now = self.timing, self.clock()
        began = self._failing_since = now if self._failing_since is None else self._failing_since
        if now - began >= timing.warn and not self._warned:
            self._warned = True
            _LOG.warning("warning: %s: %s; trying again for up to %.0f s", self.url, error, timing.outage)
        if error.retry_after > timing.outage:
            raise ServerDown(f"{self.url}: {error}; it asks to wait {error.retry_after:.0f} s. {_SAVED}")
        if failures >= timing.attempts:
            raise ValueError(f"{self.url}: one request failed {failures} times, at last with: {error}. {_SAVED}")
        if now - began > timing.outage:
            raise ServerDown(f"{self.url}: no answer for {now - began:.0f} s, at last: {error}. {_SAVED}")


def _error_of(state: RetryCallState) -> ServerError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, ServerError)
    return error
