"""`--engine openai` and servers from which nothing comes: because a request waits its turn, or because it is stuck."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import pytest

from hyperscale.engines.openai import engine as openai_engine
from hyperscale.engines.openai import http as openai_http
from hyperscale.engines.openai import patience as openai_patience
from hyperscale.engines.openai.engine import OpenaiEngine
from hyperscale.engines.openai.http import Server, ServerError
from hyperscale.engines.openai.patience import ATTEMPTS, GivenUp, Patience
from tests.engines.openai.client import THREADS, chains_of, config_for, expected, tokens_of


def test_a_stream_that_has_not_begun_waits_its_turn(server, text, monkeypatch):
    engine = OpenaiEngine(config_for(server), text)
    monkeypatch.setattr(openai_http, "STREAM_SILENCE", 0.1)
    server.fault, server.late = lambda number, body: "late", 0.5
    chains = chains_of(engine)
    assert len(server.bodies) == THREADS, "asked once each"
    assert tokens_of(chains) == expected(server)


def test_before_the_first_chain_a_server_gets_less_time(server, text, monkeypatch):
    monkeypatch.setattr(openai_engine, "START_SILENCE", 0.1)
    monkeypatch.setattr(openai_engine, "START_PATIENCE", 0.05)
    monkeypatch.setattr(server, "says", lambda body: time.sleep(2))
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"no answer for .* \(nothing came in time\)"):
        OpenaiEngine(config_for(server), text)
    assert time.monotonic() - began < 1.5


def test_a_stream_that_stops_is_asked_for_again(server, text, monkeypatch):
    engine = OpenaiEngine(config_for(server), text)
    monkeypatch.setattr(openai_http, "STREAM_SILENCE", 0.3)
    server.fault, server.late = lambda number, body: "stuck" if number == 0 else None, 3
    chains = chains_of(engine)
    assert len(server.bodies) == THREADS + 1
    assert tokens_of(chains) == expected(server)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def silent(patience: Patience, clock: Clock, times: int, *, others: bool) -> str:
    """What one request ends as that gets nothing so many times in turn; `others` get something meanwhile."""
    left = iter(range(times))

    def attempt() -> str:
        patience.accepted()
        for _ in left:
            clock.now += 300
            if others:
                patience.alive()
            clock.now += 300
            raise ServerError("nothing came in time", silence=600)
        return "there"

    return patience.retry(attempt)


def test_silence_counts_as_a_failure_only_where_nobody_was_served():
    clock = Clock()
    patience = Patience("u", clock=clock, wait=lambda _: None)
    assert silent(patience, clock, 5 * ATTEMPTS, others=True) == "there"
    with pytest.raises(ValueError, match=f"one request failed {ATTEMPTS} times, at last with: nothing came"):
        silent(patience, clock, 5 * ATTEMPTS, others=False)


def test_ones_own_last_word_is_no_sign_of_others():
    clock = Clock()
    patience = Patience("u", clock=clock, wait=lambda _: None)

    def attempt() -> None:
        patience.alive()
        clock.now += 600
        raise ServerError("nothing came in time", silence=600)

    with pytest.raises(ValueError, match=f"failed {ATTEMPTS} times"):
        patience.retry(attempt)


def test_a_server_that_takes_requests_is_there():
    clock = Clock()
    patience = Patience("u", clock=clock, wait=lambda _: None)

    def attempt(until: float, accepts: bool) -> str:
        clock.now += 100
        if accepts:  # another one's
            patience.accepted()
        if clock.now < until:
            raise ServerError("busy", 503)
        return "there"

    assert patience.retry(lambda: attempt(5000, True)) == "there"
    with pytest.raises(GivenUp, match="no answer for 400 s"):
        patience.retry(lambda: attempt(10000, False))


def test_a_request_is_taken_when_its_status_comes(server, text, monkeypatch):
    order: list[str] = []
    body = {"model": server.name, "prompt": [3], "max_tokens": 40, "temperature": 1.0, "stream": True}
    with closing(Server(server.url)) as to:
        to.post("completions", body, lambda _: order.append("event"), lambda: order.append("accepted"))
        assert order[:2] == ["accepted", "event"]
        assert order.count("accepted") == 1
        server.fault = lambda number, body: "503"
        with pytest.raises(ServerError, match="503"):
            to.post("completions", body, lambda _: None, lambda: order.append("refused"))
    assert "refused" not in order

    class Told(openai_patience.Patience):
        def alive(self) -> None:
            pass

        def accepted(self) -> None:
            order.append("told")

    server.fault = lambda number, body: None
    engine = OpenaiEngine(config_for(server), text)
    monkeypatch.setattr(openai_engine, "Patience", Told)
    chains_of(engine)
    assert order.count("told") == THREADS
