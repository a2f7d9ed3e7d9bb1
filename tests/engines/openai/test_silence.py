"""`--engine openai` and servers from which nothing comes: because a request waits its turn, or because it is stuck."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.engines.openai.client import QUICK, THREADS, chains_of, engine_of, expected, talkative, tokens_of


def test_a_stream_that_has_not_begun_waits_its_turn(server, text):
    engine = engine_of(server, text, replace(QUICK, silence=0.1))
    server.fault, server.late = lambda number, body: "late", 0.5
    chains = chains_of(engine)
    assert len(server.bodies) == THREADS, "asked once each"
    assert tokens_of(chains) == expected(server)


def test_before_the_first_chain_a_server_gets_less_time(server, text, monkeypatch):
    answer = threading.Event()
    monkeypatch.setattr(server, "says", lambda body: answer.wait(20))
    with pytest.raises(ValueError, match=r"no answer for .* \(nothing came in time\)"):
        engine_of(server, text, replace(QUICK, probe_queue=0.1, probe_outage=0.05))
    assert not answer.is_set()
    answer.set()


def test_a_stream_that_stops_is_asked_for_again(server, text):
    engine = engine_of(server, text, replace(QUICK, silence=0.3))
    server.fault, server.late = lambda number, body: "stuck" if number == 0 else None, 3
    chains = chains_of(engine)
    assert server.bodies.count(server.bodies[0]) > 1
    assert tokens_of(chains) == expected(server)


@pytest.mark.parametrize("fault", ["late", "stuck"])
def test_keep_alive_comments_are_no_silence(server, text, fault):
    """An answer that stops for longer than it may be silent, while the server says that it is there."""
    engine = engine_of(server, text, replace(QUICK, queue=0.6, silence=0.6))
    server.fault, server.late, server.pings = lambda number, body: fault, 1.5, 0.05
    chains_of(engine, [talkative(server)])
    assert len(server.bodies) == 1, "asked once"
