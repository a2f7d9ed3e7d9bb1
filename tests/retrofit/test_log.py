"""What is said aloud: a ratio that was missed, and a window that hardly any text leaves."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hyperscale.retrofit.batches import Batch, padded
from hyperscale.retrofit.log import Row, reached, short_text
from hyperscale.retrofit.progress import Progress, print_report
from hyperscale.retrofit.run import retrofit
from tests.retrofit.runs import config


def rows(alpha: float, steps: int = 30, fading: int = 5) -> list[Row]:
    """A log that gives up a share `alpha`, and asks for one half once nothing fades any more."""
    return [
        {
            "step": step, "compression_ratio": 2.0 if step > fading else 1.0, "kl": 0.1,
            "alpha": alpha if step > fading else 0.0, "alpha_target": 0.5 if step > fading else 0.0,
        }
        for step in range(1, steps + 1)
    ]  # fmt: skip


def test_what_was_reached_is_the_mean_of_the_last_ten_steps() -> None:
    log = rows(0.45, steps=20)
    for row in log[10:]:
        row["alpha"] = 0.9
    found = reached(log, 20)
    assert found is not None
    assert found == pytest.approx((0.1, 0.9, 0.5))
    assert found.ratio == pytest.approx(10)
    early = reached(log, 9)
    assert early is not None
    assert early.alpha == pytest.approx(0.45), "steps after it, or that fade a neuron, counted"
    assert reached(log, 5) is None


@pytest.mark.parametrize(("alpha", "missed"), [(0.008, True), (0.44, True), (0.45, False), (0.7, False)])
def test_a_miss_is_less_than_nine_tenths_of_the_ratio(alpha: float, missed: bool) -> None:
    found = reached(rows(alpha), 30)
    assert found is not None
    assert found.missed == missed


def test_a_missed_target_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the checkpoint is saved, in it, and in the report."""
    console = Console(file=StringIO(), width=300)
    report = retrofit(config(tmp_path, lr=1e-6), Progress(console))
    print_report(report)
    assert isinstance(console.file, StringIO)
    for said in (console.file.getvalue(), capsys.readouterr().out):
        assert "warning: cr-2 missed its target: alpha 0.0" in said
        assert "warning: cr-3 missed its target: alpha 0.0" in said
    kept = json.loads((report.checkpoints[1] / "retrofit.json").read_text())
    assert kept["missed"] is True
    assert kept["reached_ratio"] < 1.1
    assert kept["alpha_target"] == pytest.approx(sum(row["alpha_target"] for row in report.rows[-10:]) / 10)


def test_a_checkpoint_whose_step_was_rounded_up_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its step asked for more than its name says."""
    print_report(retrofit(config(tmp_path, target_cr=1.5, save_crs=(1.1,)), Progress(None)))
    assert "cr-1.1" in capsys.readouterr().out


class Lengths:
    """The same sequences at each step."""

    identity = "lengths"

    def __init__(self, *lengths: int) -> None:
        self._lengths = lengths

    def batch(self, step: int) -> Batch:
        return padded([[5] * length for length in self._lengths])


def test_text_that_hardly_leaves_the_window() -> None:
    """Of 20 tokens those beyond the first 11 see a key that is more than 10 back."""
    assert short_text(Lengths(20, 8), 0, 100, 10) is None
    said = short_text(Lengths(20, 100, 100), 0, 100, 98)
    assert said is not None
    assert said.startswith("only 0.9% of the first tokens see any key beyond --window 98,")
    assert short_text(Lengths(20, 8), 100, 100, 50) is None, "there is no step left"


def test_a_run_on_short_text_warns_once(tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=300)
    retrofit(config(tmp_path, context=64, window=60, target_cr=1.5, save_crs=()), Progress(console))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().count("see any key beyond --window 60") == 1
