"""Shares of the machine's processors, and when they make a warning."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hyperscale.process import contention
from hyperscale.process.contention import Contention, Watch, warning

CALM: Contention = {
    "seconds": 60.0, "load_average_begin": 2.0, "load_average_end": 2.1, "own_share": 0.95, "foreign_share": 0.03,
    "idle_share": 0.02,
}  # fmt: skip


def test_a_watch_divides_the_machine_among_us_others_and_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    own, machine = iter([10.0, 16.0]), iter([(100.0, 50.0), (112.0, 58.0)])
    monkeypatch.setattr(contention, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(contention, "_machine_seconds", lambda: next(machine))
    found = Watch().look()
    assert (found["own_share"], found["foreign_share"], found["idle_share"]) == (0.3, 0.3, 0.4)


def test_a_watch_of_this_machine_adds_up() -> None:
    watch, until = Watch(), time.process_time() + 0.3
    while time.process_time() < until:
        pass
    found = watch.look()
    assert found["own_share"] + found["foreign_share"] + found["idle_share"] == pytest.approx(1, abs=0.01)
    assert found["own_share"] > 0


@pytest.mark.parametrize(
    ("change", "warns"),
    [
        ({}, False),
        ({"foreign_share": 0.5, "own_share": 0.5, "idle_share": 0.0}, True),
        ({"foreign_share": 0.5, "own_share": 0.2, "idle_share": 0.3}, False),
        ({"foreign_share": 0.15, "own_share": 0.85, "idle_share": 0.0}, False),
        ({"foreign_share": 0.5, "own_share": 0.5, "idle_share": 0.0, "seconds": 1.0}, False),
    ],
)
def test_it_warns_where_others_took_much_and_nothing_was_left(change: dict[str, Any], warns: bool) -> None:
    found: Contention = {**CALM, **change}  # type: ignore[typeddict-item]
    assert (warning("countdown | tova B 64", found) is not None) == warns
