"""How long a server is asked again: longer and longer waits, until nothing has come for minutes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from threading import Event, Lock
from typing import TypeVar

from hyperscale.engines.openai.http import ServerError

T = TypeVar("T")

ATTEMPTS = 8
"""Times that one request may fail while the server is there: it may be what brings the server down."""
PATIENCE = 300.0
"""Seconds of failures, with no sign of life in between, after which the server is given up."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_TOLD_AFTER = 5.0

_SAVED = "What was finished is saved: see to the server, then run the same command again"

_LOG = logging.getLogger(__name__)


class GivenUp(ValueError):
    """The server is away for too long, whatever is asked of it."""


@dataclass
class Patience:
    """Shared by all requests to a server: one that gets through is a sign of life for the others."""

    url: str
    seconds: float = PATIENCE
    attempts: int = ATTEMPTS
    stop: Event = field(default_factory=Event)
    """Set from outside: waiting requests then give up at once."""
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], object] | None = None
    """Waits so many seconds; by default until `stop` at the latest."""
    _failing_since: float | None = None
    _told: bool = False
    _lately: float | None = None
    """When something last came of an answer."""
    _lock: Lock = field(default_factory=Lock)

    def alive(self) -> None:
        """Something came of an answer."""
        self._lately = self.clock()
        self.accepted()

    def accepted(self) -> None:
        """The server took a request: it is there, though what it took may wait in a queue."""
        self._failing_since, self._told = None, False

    def retry(self, attempt: Callable[[], T], seed: int = 0) -> T:
        """What `attempt` gives, tried again while that may help; `seed` draws the jitter of the waits.

        ServerError as it comes where the server refuses the request for good; ValueError where it is given up.
        """
        jitter, failures, tries = Random(seed), 0, 0
        while True:
            try:
                result = attempt()
            except ServerError as error:
                failures += not (error.away or self._served_others(error))
                if not error.transient or self.stop.is_set():
                    raise
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**tries) * (0.5 + 0.5 * jitter.random())
                self._consider(error, failures)
                tries += 1
                (self.wait or self.stop.wait)(max(wait, error.retry_after or 0.0))
            else:
                self.alive()
                return result

    def _served_others(self, error: ServerError) -> bool:
        """Whether others got something while this request waited in vain: it was their turn."""
        return self._lately is not None and self.clock() - self._lately < error.silence

    def _consider(self, error: ServerError, failures: int) -> None:
        """ValueError where it is time to give up; a failure that lasts is told once."""
        with self._lock:
            now = self.clock()
            began = self._failing_since = now if self._failing_since is None else self._failing_since
            if now - began >= _TOLD_AFTER and not self._told:
                self._told = True
                _LOG.warning("warning: %s: %s; trying again for up to %.0f s", self.url, error, self.seconds)
        if (error.retry_after or 0.0) > self.seconds:
            raise GivenUp(f"{self.url}: {error}; it asks to wait {error.retry_after:.0f} s. {_SAVED}")
        if failures >= self.attempts:
            raise ValueError(f"{self.url}: one request failed {failures} times, at last with: {error}. {_SAVED}")
        if now - began > self.seconds:
            raise GivenUp(f"{self.url}: no answer for {now - began:.0f} s, at last: {error}. {_SAVED}")


def explained(error: ServerError, url: str, *, keyed: bool) -> ValueError:
    """What a refusal for good means for the user. The server's own words are left out where they may hold the key."""
    if error.status in (401, 403):
        fault = "the key in OPENAI_API_KEY is refused" if keyed else "it wants a key: set OPENAI_API_KEY"
        return ValueError(f"{url}: {error.status}, {fault}")
    if error.status is not None and 300 <= error.status < 400:
        return ValueError(f"{url}: the server {error.words}: give the place that it names as --base-url")
    if error.status == 404:
        hint = "--base-url mostly ends with /v1, and the server must offer /completions below it, not chat alone"
        return ValueError(f"{url}: {error}. {hint}")
    return ValueError(f"{url}: {error}")
