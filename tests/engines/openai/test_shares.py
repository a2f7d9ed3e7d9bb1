"""How the time of requests that run side by side is divided."""

from __future__ import annotations

import numpy as np
import pytest

from hyperscale.engines.openai.shares import Share, Shares


def test_shares_by_hand():
    """A from 0 to 10 s; B from 4 to 6, fails, and again from 8 to 14."""
    now = 0.0
    shares, a, b = Shares(lambda: now), Share(), Share()
    first, second = shares.attempt(a), shares.attempt(b)
    first.__enter__()
    now = 4.0
    second.__enter__()
    now = 6.0
    second.__exit__(None, None, None)
    now = 8.0
    third = shares.attempt(b)
    third.__enter__()
    now = 10.0
    first.__exit__(None, None, None)
    now = 14.0
    third.__exit__(None, None, None)
    assert (a.seconds, a.wasted, a.beside) == (4 + 1 + 2 + 1, 0, 1.4)
    assert (b.seconds, b.wasted, b.beside) == (1 + 4, 1, 8 / 6)
    assert a.step_micros(3).tolist() == [2_666_667, 2_666_666, 2_666_667]
    assert b.step_micros(2).tolist() == [1_000_000 + 2_500_000, 2_500_000]
    assert b.step_micros(0).tolist() == []


def test_shares_add_up_to_the_time_in_which_anything_ran():
    """Against a sum over a thousand moments."""
    rng = np.random.default_rng(0)
    spans = [(start, start + int(length)) for start, length in rng.integers(1, 200, size=(30, 2))]
    spans += [(900, 950), (940, 1000)]
    now = 0
    shares = Shares(lambda: now)
    found = [Share() for _ in spans]
    attempts = [shares.attempt(share) for share in found]
    for now in range(1001):
        for attempt, (start, end) in zip(attempts, spans, strict=True):
            if start == now:
                attempt.__enter__()
            if end == now:
                attempt.__exit__(None, None, None)
    running = np.array([[start <= t < end for t in range(1000)] for start, end in spans])
    beside = running.sum(axis=0)
    for share, mine in zip(found, running, strict=True):
        assert share.seconds == pytest.approx((mine / np.maximum(beside, 1)).sum())
        assert share.beside == pytest.approx(beside[mine].mean())
    assert sum(share.seconds for share in found) == pytest.approx((beside > 0).sum())
