"""A wall clock that jumps while a sweep runs: it names moments, and decides nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from hyperscale.grading import GradeRequest, GradingPool
from hyperscale.sweep.run import sweep
from tests.fakes import FakeExecutor, Silent, fake_config, fake_plan, run_fake, write_task
from tests.folders import assert_same_results, rows, table
from tests.sums import sweep_tiny, write_sums
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.usefixtures("fast_disk")

DAYS = 86400.0


def jumping() -> Iterator[float]:
    """A wall clock that is years ahead at one look, and years behind at the next."""
    real = time.time()
    return (real + (-1) ** look * look * 400 * DAYS for look in count())


class Backwards(datetime):
    """A calendar that is an hour earlier at each look."""

    looks = count()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime(2026, 1, 1, tzinfo=tz) - timedelta(hours=next(cls.looks))


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", partial(next, jumping()))
    monkeypatch.setattr("hyperscale.process.provenance.datetime", Backwards)


def test_a_sweep_does_not_care(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jumps: None) -> None:
    task = write_task(tmp_path)
    began = time.monotonic()
    for limit in (2, 6):
        report = sweep(fake_plan(tmp_path / "out", task, limit=limit), FakeExecutor, Silent())
    lasted = time.monotonic() - began
    monkeypatch.undo()
    assert not report.interrupted
    run_fake(fake_config(tmp_path / "fresh", task))
    assert_same_results(tmp_path / "out", tmp_path / "fresh")
    sessions = json.loads((tmp_path / "out" / "manifest.json").read_text())["sessions"]
    assert all(session["finished"] < session["started"] for session in sessions), "the clock did jump"
    assert 0 < sum(session["wall_seconds"] for session in sessions) <= lasted


def test_a_grader_is_given_its_time_by_another_clock(jumps: None) -> None:
    """Set forward, the wall clock would fail what runs; set back, it would let what hangs go on."""
    hangs = r"\boxed{\binom{100000000}{50000000}}"
    with GradingPool(workers=1, timeout=1.5) as pool:
        requests = [GradeRequest("math", text, "5", True) for text in (r"\boxed{10/2}", hangs, r"\boxed{2+3}")]
        assert [verdict.flag for verdict in pool.grade(requests)] == [None, "timeout", None]


def test_steps_of_the_engine_are_timed_by_another_clock(tmp_path: Path, jumps: None) -> None:
    model, task = write_tiny_model(tmp_path / "model"), write_sums(tmp_path, problems=1)
    began = time.monotonic()
    samples = table(sweep_tiny(tmp_path / "out", model, task, "--widths", "2", "--lengths", "48"), "samples")
    lasted = time.monotonic() - began
    assert all(micros >= 0 for row in rows(samples) for micros in row["step_micros"])
    assert 0 < sum(sum(row["step_micros"]) for row in rows(samples)) * 1e-6 < lasted
    assert samples["prefill_seconds"].between(0, lasted, inclusive="neither").all()
