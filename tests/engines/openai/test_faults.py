"""`--engine openai` against a server in this process that fails as it is told to."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hyperscale.engines.base import Job
from hyperscale.engines.openai import http as openai_http
from hyperscale.engines.openai import patience as openai_patience
from hyperscale.engines.openai.crew import Crew
from hyperscale.engines.openai.engine import OpenaiEngine
from hyperscale.engines.openai.protocol import request_seed
from tests.engines.openai.client import (
    JOBS,
    LONGEST,
    chains_of,
    config_for,
    expected,
    no_threads_left,
    tokens_of,
)


@pytest.mark.parametrize(
    "fault", ["429 0.05", "429", "408", "500", "503", "drop", "hang up", "error", "miscount", "abort"]
)
def test_what_fails_is_asked_for_again(server, text, fault):
    server.fault = lambda number, body: fault if number in (0, 3, 5) else None
    chains = chains_of(OpenaiEngine(config_for(server, request_concurrency=3), text))
    assert tokens_of(chains) == expected(server)
    assert len(server.bodies) == 12 + 3
    assert no_threads_left()


def test_half_an_answer_is_no_answer(server, text):
    server.fields = {"return_token_ids", "seed"}
    server.fault = lambda number, body: "truncate" if number == 1 else None
    chains = chains_of(OpenaiEngine(config_for(server), text))
    assert tokens_of(chains) == expected(server)


def test_retry_after_is_kept_to(server, text):
    server.fault = lambda number, body: "429 0.4" if number == 0 else None
    engine = OpenaiEngine(config_for(server), text)
    began = time.monotonic()
    (chain,) = chains_of(engine, [Job("t", "p", (3,), {0: 30})]).values()
    assert time.monotonic() - began > 0.4
    assert len(server.bodies) == 2
    server.fault = lambda number, body: "429 100000"
    with pytest.raises(ValueError, match=r"429 .*asks to wait 100000 s\. What was finished is saved"):
        chains_of(engine)
    assert chain.step_micros.sum() < 300_000, "a wait is no machine time"


@pytest.mark.parametrize(("fault", "words"), [("500 out of memory", "500 out of memory"), ("drop", "broke")])
def test_a_request_that_always_fails_ends_the_sweep(server, text, fault, words):
    server.fault = lambda number, body: fault if body["max_tokens"] == LONGEST - 16 else None
    generated = OpenaiEngine(config_for(server), text).generate(JOBS)
    found: list[str] = []
    with pytest.raises(ValueError, match=rf"t p2, L = 64 tokens: .* failed 8 times, at last with: .*{words}"):
        found.extend(chain.problem_id for chain in generated)
    assert len(found) == 11, "what was finished was not handed over"
    assert no_threads_left()


def test_one_that_is_dropped_unanswered_says_nothing_of_the_request(server, text):
    """So a tunnel does whose other end is away: for longer than a request may fail."""
    server.fault = lambda number, body: "hang up" if number < 10 else None
    chains_of(OpenaiEngine(config_for(server), text), [Job("t", "p", (3,), {0: 30})])
    assert len(server.bodies) == 11 > openai_patience.ATTEMPTS


def test_what_is_finished_comes_before_an_error():
    order = [threading.Event() for _ in range(4)]

    def work(task: int) -> int:
        order[task].wait()
        order[task + 1].set()
        if task == 1:
            raise ValueError("no")
        return task

    with Crew(work, range(3), 3, lambda: None) as crew:
        order[0].set()
        order[3].wait()
        time.sleep(0.05)
        found: list[int] = []
        with pytest.raises(ValueError, match="no"):
            found.extend(crew)
    assert found == [0, 2]


def test_a_server_that_stays_away_ends_the_sweep(server, text, monkeypatch):
    engine = OpenaiEngine(config_for(server, request_concurrency=2), text)
    monkeypatch.setattr("hyperscale.engines.openai.engine.Patience", lambda url: openai_patience.Patience(url, 0.3))
    generated = engine.generate(JOBS)
    found = [next(generated), next(generated)]
    server.stop()
    try:
        with pytest.raises(ValueError, match=rf"^{server.url}: no answer for .* \(Connection refused\)\. What was"):
            found.extend(generated)
        assert len(found) < 12
        assert no_threads_left()
    finally:
        server.start()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("400 maximum context length is 32 tokens", r"t p\d, L = 64 tokens: .*400 maximum context length is 32"),
        ("filter", "finish_reason 'content_filter'"),
        ("refusal", "400 engine died"),
        ("word", "ended a chain at 'Question:'"),
        ("short", "cut a chain off after .* tokens of the .* asked for"),
        ("307 http://h/v2", "redirects to http://h/v2: give the place that it names as --base-url"),
        ("404 gone", "404 gone. --base-url mostly ends with /v1"),
    ],
)
def test_what_no_retry_mends(server, text, fault, words):
    engine = OpenaiEngine(config_for(server), text)
    server.fault = lambda number, body: fault
    jobs = [Job("t", f"p{i}", (3, 4 + i), {0: LONGEST}) for i in range(6)]
    with pytest.raises(ValueError, match=words):
        chains_of(engine, jobs)
    assert len(server.bodies) <= 6
    assert no_threads_left()


def test_nobody_there(server, text, monkeypatch):
    monkeypatch.setattr("hyperscale.engines.openai.engine.START_PATIENCE", 0.2)
    server.stop()
    try:
        with pytest.raises(ValueError, match=r"no answer for .* no connection \(Connection refused\)"):
            OpenaiEngine(config_for(server), text)
    finally:
        server.start()


def test_one_who_stops_listening_drops_what_is_in_flight(server, text):
    engine = OpenaiEngine(config_for(server, request_concurrency=6), text)
    server.seconds_a_token = 0.05
    server.fault = lambda number, body: "429 20" if number == 1 else None  # One waits, the others stream.
    generated = engine.generate(JOBS)
    next(generated)
    assert not no_threads_left()
    generated.close()  # type: ignore[attr-defined]  # A generator, as every engine's.
    assert no_threads_left()
    for _ in range(100):
        if server.dropped >= 3:
            break
        threading.Event().wait(0.05)
    assert server.dropped >= 3
    assert len(server.bodies) < 12  # One that was on its way may have come in after that.


def test_a_silent_server_is_not_waited_for_forever(server, text, monkeypatch):
    engine = OpenaiEngine(config_for(server), text)
    monkeypatch.setattr(openai_http, "WHOLE_SILENCE", 0.2)
    slow = threading.Event()

    def silent(number: int, body: dict[str, Any]) -> None:
        if number == 0:
            slow.wait(2)

    server.fault = silent
    chains = chains_of(engine)
    slow.set()
    assert len(server.bodies) == 13
    assert tokens_of(chains) == expected(server)


def test_an_outage_is_told_once(caplog):
    clock = iter(np.arange(0, 1000, 2.0).tolist())
    waits: list[float] = []
    patience = openai_patience.Patience("http://h/v1", clock=lambda: next(clock), wait=waits.append)
    errors = iter([openai_http.ServerError("no connection", away=True)] * 20)

    def attempt() -> str:
        for error in errors:
            raise error
        return "there"

    with caplog.at_level(logging.WARNING):
        assert patience.retry(attempt, seed=1) == "there"
    assert [record.getMessage() for record in caplog.records] == [
        "warning: http://h/v1: no connection; trying again for up to 300 s"
    ]
    longest = [min(30.0, 0.5 * 2**n) for n in range(20)]
    assert all(0.5 * most <= wait <= most for wait, most in zip(waits, longest, strict=True))
    again: list[float] = []
    errors = iter([openai_http.ServerError("no connection", away=True)] * 20)
    openai_patience.Patience("u", clock=lambda: 0.0, wait=again.append).retry(attempt, seed=1)
    assert again == waits, "the jitter is drawn from the seed"


def test_signs_of_life_keep_a_server_from_being_given_up():
    now = 0.0
    patience = openai_patience.Patience("u", clock=lambda: now, wait=lambda _: None)

    def attempt(until: float, alive: bool) -> str:
        nonlocal now
        now += 100
        if alive:
            patience.alive()
        if now < until:
            raise openai_http.ServerError("busy", 503)
        return "there"

    assert patience.retry(lambda: attempt(5000, True)) == "there"
    with pytest.raises(ValueError, match="u: no answer for 400 s, at last: 503 busy"):
        patience.retry(lambda: attempt(10000, False))


def test_one_request_is_refused_for_as_long_as_others_stream(server, text, monkeypatch):
    engine = OpenaiEngine(config_for(server), text)
    monkeypatch.setattr("hyperscale.engines.openai.engine.Patience", lambda url: openai_patience.Patience(url, 1.0))
    server.seconds_a_token = 0.05
    began = time.monotonic()
    server.fault = lambda number, body: "503" if body["max_tokens"] == 2 and time.monotonic() - began < 1.6 else None
    talkative = next(
        job for job in JOBS if len(server.whole(job.prompt_tokens, request_seed(7, "t", job.problem_id, 0))) > 40
    )
    chains_of(engine, [replace(talkative, length_caps={0: LONGEST, 5: 2 + len(talkative.prompt_tokens)})])
