"""When a failed request is sent again, and when its server is given up: the policy alone, on a clock of the test's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from hyperscale.engines.openai.errors import ServerError
from hyperscale.engines.openai.retry import Retries, ServerDown, Timing

T = TypeVar("T")
ATTEMPTS = Timing().attempts


@dataclass
class Clock:
    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def retries(self, url: str = "u") -> Retries:
        return Retries(url, clock=self, sleep=self.sleep)


def call(retries: Retries, attempt: Callable[[], T], seed: int = 0) -> T:
    async def attempted() -> T:
        return attempt()

    return asyncio.run(retries.call(attempted, seed))


def outage(clock: Clock, times: int) -> Callable[[], str]:
    """A server that is away so many times in turn, every 2 s."""
    left = iter(range(times))

    def attempt() -> str:
        clock.now += 2
        for _ in left:
            raise ServerError("no connection", away=True)
        return "there"

    return attempt


def test_an_outage_is_told_once(caplog):
    clock, again = Clock(), Clock()
    with caplog.at_level(logging.WARNING):
        assert call(clock.retries("http://h/v1"), outage(clock, 20), seed=1) == "there"
    assert [record.getMessage() for record in caplog.records] == [
        "warning: http://h/v1: no connection; trying again for up to 300 s"
    ]
    longest = [min(30.0, 0.5 * 2**n) for n in range(20)]
    assert all(0.5 * most <= wait <= most for wait, most in zip(clock.waits, longest, strict=True))
    call(again.retries(), outage(again, 20), seed=1)
    assert again.waits == clock.waits, "the jitter is drawn from the seed"


@pytest.mark.parametrize(("asked", "least"), [(7.0, 7.0), (0.0, 0.25)])
def test_a_wait_is_as_long_as_the_server_asks(asked, least):
    clock, left = Clock(), iter(range(1))

    def attempt() -> str:
        for _ in left:
            raise ServerError("busy", 503, retry_after=asked)
        return "there"

    call(clock.retries(), attempt)
    assert least <= clock.waits[0] <= max(asked, 0.5)


def test_a_permanent_refusal_is_raised_at_once():
    clock, error = Clock(), ServerError("no", 400)

    def attempt() -> None:
        raise error

    with pytest.raises(ServerError) as raised:
        call(clock.retries(), attempt)
    assert raised.value is error
    assert clock.waits == []


@pytest.mark.parametrize("sign", ["event", "accepted"])
def test_signs_of_life_keep_a_server_from_being_given_up(sign):
    clock = Clock()
    retries = clock.retries()

    def attempt(until: float, alive: bool) -> str:
        clock.now += 100
        if alive:  # another one's
            getattr(retries, sign)()
        if clock.now < until:
            raise ServerError("busy", 503)
        return "there"

    assert call(retries, lambda: attempt(5000, True)) == "there"
    with pytest.raises(ServerDown, match="u: no answer for 400 s, at last: 503 busy"):
        call(retries, lambda: attempt(10000, False))


def silent(retries: Retries, clock: Clock, times: int, *, others: bool) -> str:
    """Outcome of a request that gets nothing so many times in turn; `others` get something meanwhile."""
    left = iter(range(times))

    def attempt() -> str:
        retries.accepted()
        for _ in left:
            clock.now += 300
            if others:
                retries.event()
            clock.now += 300
            raise ServerError("nothing came in time", silence=600)
        return "there"

    return call(retries, attempt)


def test_silence_counts_as_a_failure_only_where_nobody_was_served():
    clock = Clock()
    retries = clock.retries()
    assert silent(retries, clock, 5 * ATTEMPTS, others=True) == "there"
    with pytest.raises(ValueError, match=f"one request failed {ATTEMPTS} times, at last with: nothing came"):
        silent(retries, clock, 5 * ATTEMPTS, others=False)


def test_ones_own_last_word_is_no_sign_of_others():
    clock = Clock()
    retries = clock.retries()

    def attempt() -> None:
        retries.event()
        clock.now += 600
        raise ServerError("nothing came in time", silence=600)

    with pytest.raises(ValueError, match=f"failed {ATTEMPTS} times"):
        call(retries, attempt)


def test_a_result_ends_an_outage():
    clock = Clock()
    retries = clock.retries()
    for began in (0.0, 1000.0):
        clock.now = began
        assert call(retries, outage(clock, 1)) == "there"
