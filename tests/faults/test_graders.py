"""Grading processes that die or hang: the verdict is flagged, the sweep goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.grading import GradingPool
from hyperscale.plan.resolve import resolve
from hyperscale.sweep.run import sweep
from tests.fakes import FakeExecutor, Silent, fake_config, fake_plan, no_spec, write_task
from tests.faults import deadly
from tests.folders import table

pytestmark = pytest.mark.usefixtures("fast_disk")

ANSWERS = ("die", "right", "hang", "wrong")
FLAGS = {"die": "error", "right": None, "hang": "timeout", "wrong": None}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("hyperscale.sweep.run.GradingPool", partial(GradingPool, workers=1, timeout=1.0))
    path = write_task(tmp_path, problems=4)
    grader = f'"{deadly.__file__}:Deadly"'
    path.write_text(path.read_text().replace('"integer"', grader).replace('"majority"', '"pass"'))
    return path


class Answering(FakeExecutor):
    """Every chain of a problem gives one of ANSWERS."""

    chains = 0

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        said = rf"\boxed{{{ANSWERS[self.chains % 4]}}}"
        type(self).chains += 1
        return said, [len(said)] * len(tokens)


def test_a_dead_or_hanging_grader_flags_its_verdict_alone(tmp_path: Path, task: Path) -> None:
    report = sweep(fake_plan(tmp_path / "out", task, grid=((1, 64),)), Answering, Silent())
    grades = table(tmp_path / "out", "grades").set_index("answer")
    assert grades["correct"].to_dict() == {answer: answer == "right" for answer in ANSWERS}
    assert {answer: None if pd.isna(flag) else flag for answer, flag in grades["flag"].items()} == FLAGS
    assert report.points["accuracy"].tolist() == [0.25]
    assert report.points["complete"].all()


def test_what_graders_say_that_a_signal_ended_is_no_verdict(tmp_path: Path, task: Path) -> None:
    """A signal to the whole group ends them while the sweep still waits for them: they are asked again next time."""

    class Stopped(Answering):
        chains = 0

        def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
            if self.chains == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().text(tokens)

    config = fake_config(tmp_path / "out", task, grid=((1, 64),))
    report = sweep(resolve(config, no_spec), Stopped, Silent())
    assert report.interrupted
    assert report.generated_samples == 4
    assert set(table(tmp_path / "out", "grades")["answer"]) == {"right", "hang", "wrong"}
    assert report.points["problems"].tolist() == [3]
    again = sweep(resolve(config, no_spec), Answering, Silent())
    assert again.generated_samples == 0
    assert set(table(tmp_path / "out", "grades")["answer"]) == set(ANSWERS)
    assert again.points["complete"].all()
