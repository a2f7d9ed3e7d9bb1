"""`--engine openai` against a server in this process that fails as it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hyperscale.engines.base import Chain, Job
from tests.engines.openai.client import (
    JOBS,
    LONGEST,
    QUICK,
    chains_of,
    engine_of,
    expected,
    no_threads_left,
    talkative,
    tokens_of,
)


@pytest.mark.parametrize(
    "fault", ["429 0.05", "429", "408", "500", "503", "drop", "hang up", "error", "error field", "miscount", "abort"]
)
def test_what_fails_is_asked_for_again(server, text, fault):
    server.fault = lambda number, body: fault if number in (0, 3, 5) else None
    chains = chains_of(engine_of(server, text, request_concurrency=3))
    assert tokens_of(chains) == expected(server)
    assert len(server.bodies) == 12 + 3
    assert no_threads_left()


def test_half_an_answer_is_no_answer(server, text):
    server.fields = {"return_token_ids", "seed"}
    server.fault = lambda number, body: "truncate" if number == 1 else None
    chains = chains_of(engine_of(server, text))
    assert tokens_of(chains) == expected(server)


def test_retry_after_is_kept_to(server, text):
    server.fault = lambda number, body: "429 0.4" if number == 0 else None
    engine = engine_of(server, text)
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
    generated = engine_of(server, text).generate(JOBS)
    found: list[str] = []
    with pytest.raises(ValueError, match=rf"t p2, L = 64 tokens: .* failed 8 times, at last with: .*{words}"):
        found.extend(chain.problem_id for chain in generated)
    assert len(found) == 11, "what was finished was not handed over"
    assert no_threads_left()


def test_one_that_is_dropped_unanswered_says_nothing_of_the_request(server, text):
    """So a tunnel does whose other end is away: for longer than a request may fail."""
    server.fault = lambda number, body: "hang up" if number < 10 else None
    chains_of(engine_of(server, text), [Job("t", "p", (3,), {0: 30})])
    assert len(server.bodies) == 11 > QUICK.attempts


def test_what_is_finished_comes_before_an_error(server, text):
    """Three requests: one is finished before another is refused, the third is cancelled."""
    engine = engine_of(server, text)
    jobs = [Job("t", f"p{i}", (3, 4 + i), {0: LONGEST}) for i in range(3)]
    taken, refused = threading.Event(), threading.Event()

    def fault(number: int, body: dict[str, Any]) -> str | None:
        if body["prompt"] == [3, 5]:
            taken.wait(10)
            return "400 no"
        if body["prompt"] == [3, 6]:
            refused.wait(10)
        return None

    server.fault = fault
    generated, found = engine.generate(jobs), list[Chain]()
    found.append(next(generated))
    taken.set()
    with pytest.raises(ValueError, match=r"t p1, L = 64 tokens: .*400 no"):
        found.extend(generated)
    refused.set()
    assert [chain.problem_id for chain in found] == ["p0"]
    assert no_threads_left()


def test_a_server_that_stays_away_ends_the_sweep(server, text):
    engine = engine_of(server, text, replace(QUICK, outage=0.3), request_concurrency=2)
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
        ("refusal field", "400 engine died"),
        ("word", "ended a chain at 'Question:'"),
        ("short", "cut a chain off after .* tokens of the .* asked for"),
        ("307 http://h/v2", "redirects to http://h/v2: give the place that it names as --base-url"),
        ("404 gone", "404 gone. --base-url mostly ends with /v1"),
    ],
)
def test_what_no_retry_mends(server, text, fault, words):
    engine = engine_of(server, text)
    server.fault = lambda number, body: fault
    jobs = [Job("t", f"p{i}", (3, 4 + i), {0: LONGEST}) for i in range(6)]
    with pytest.raises(ValueError, match=words):
        chains_of(engine, jobs)
    assert len(server.bodies) <= 6
    assert no_threads_left()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_that_is_down(server, text, host):
    server.stop()
    url = server.url.replace("127.0.0.1", host)
    try:
        with pytest.raises(
            ValueError, match=r"no answer for .* no connection \((Connection refused|Cannot assign .*)\)"
        ):
            engine_of(server, text, replace(QUICK, probe_outage=0.2), base_url=url)
        assert no_threads_left()
    finally:
        server.start()


def test_one_who_stops_listening_drops_what_is_in_flight(server, text):
    engine = engine_of(server, text, request_concurrency=6)
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


def test_a_silent_server_is_not_waited_for_forever(server, text):
    engine = engine_of(server, text, replace(QUICK, queue=0.3))
    again = threading.Event()

    def silent(number: int, body: dict[str, Any]) -> None:
        if number == 0:
            again.wait(10)
        elif body == server.bodies[0]:
            again.set()

    server.fault = silent
    chains = chains_of(engine)
    assert again.is_set(), "asked for once"
    assert tokens_of(chains) == expected(server)


def test_one_request_is_refused_for_as_long_as_others_stream(server, text):
    engine = engine_of(server, text, replace(QUICK, outage=1.0))
    server.seconds_a_token = 0.05
    server.fault = busy_for(1.6)
    chains_of(engine, [with_a_short_thread(talkative(server))])


def test_one_request_is_refused_for_as_long_as_others_are_taken(server, text):
    """A status is a sign of life, though the first event be seconds away."""
    engine = engine_of(server, text, replace(QUICK, outage=1.0))
    busy = busy_for(1.4)

    def fault(number: int, body: dict[str, Any]) -> str | None:
        if body["max_tokens"] == 2:
            return busy(number, body)
        time.sleep(0.6)
        return "late"

    server.fault, server.late = fault, 2.0
    chains_of(engine, [with_a_short_thread(talkative(server))])


def with_a_short_thread(job: Job) -> Job:
    return replace(job, length_caps={**job.length_caps, 5: len(job.prompt_tokens) + 2})


def busy_for(seconds: float) -> Callable[[int, dict[str, Any]], str | None]:
    """Refuse requests for two tokens until so many seconds from now."""
    began = time.monotonic()
    return lambda number, body: "503" if body["max_tokens"] == 2 and time.monotonic() - began < seconds else None
