"""Rows that a command does not name stay in the tables, whatever their backend is bound to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hyperscale.sweep.run import Report
from tests.fakes import fake_config, run_fake, write_task

GRID = ((1, 64), (1, 128), (2, 64), (2, 128))
KEY = ["task", "backend", "compression_ratio", "width", "length"]


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyperscale.storage.files._sync", lambda path: None)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path, problems=3)


@pytest.fixture
def before(tmp_path: Path, task: Path) -> pd.DataFrame:
    """Points of a first command: vanilla, and two backends that are bound to budgets of 16, 32 and 64 tokens."""
    report = swept(tmp_path, task, backends=("vanilla", "tova", "h2o"), compression_ratios=(2, 4))
    assert len(report.points) == (1 + 2 * 2) * len(GRID)
    return report.points


def swept(folder: Path, task: Path, **fields: Any) -> Report:
    return run_fake(fake_config(folder / "out", task, **{"grid": GRID, **fields}))


def assert_kept(old: pd.DataFrame, new: pd.DataFrame) -> None:
    """Every old point stands among the new ones, unchanged."""
    names = pd.MultiIndex.from_frame(old[KEY])
    kept = new[pd.MultiIndex.from_frame(new[KEY]).isin(names)]
    left, right = (frame.sort_values(KEY, ignore_index=True) for frame in (old, kept))
    pd.testing.assert_frame_equal(left, right)


def test_bound_backends_that_are_not_named_stay(tmp_path, task, before):
    options = (("quest", "page_size", 32),)
    report = swept(tmp_path, task, backends=("quest",), compression_ratios=(2,), backend_options=options)
    assert_kept(before, report.points)
    assert set(report.points["backend"]) == {"vanilla", "tova", "h2o", "quest"}
    assert set(report.frontiers["backend"]) <= set(report.points["backend"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "points.parquet"), report.points)


def test_ratios_that_are_not_named_stay(tmp_path, task, before):
    """B = 32 is CR 2 at L = 64, not named, and CR 4 at L = 128, named."""
    report = swept(tmp_path, task, backends=("tova",), compression_ratios=(4,))
    assert report.generated_samples == 0
    assert len(report.points) == len(before)
    assert_kept(before, report.points)


def test_another_ratio_of_a_bound_backend_is_added(tmp_path, task, before):
    report = swept(tmp_path, task, backends=("tova",), compression_ratios=(8,))
    assert_kept(before, report.points)
    assert len(report.points) == len(before) + len(GRID)


def test_bound_backends_of_another_task_stay(tmp_path, before):
    other = write_task(tmp_path, name="toy2", problems=2)
    report = swept(tmp_path, other, backends=("vanilla", "tova"), compression_ratios=(2,))
    assert_kept(before, report.points)
    assert len(report.points) == len(before) + 2 * len(GRID)


def test_a_ratio_that_is_no_binary_fraction_stays(tmp_path, task):
    first = swept(tmp_path, task, grid=((1, 110),), backends=("tova",), compression_ratios=(1.1,))
    assert len(first.points) == 1
    assert_kept(first.points, swept(tmp_path, task, grid=((1, 110),)).points)


def test_rows_without_their_samples_go(tmp_path, task, before):
    shutil.rmtree(tmp_path / "out" / "samples")
    report = swept(tmp_path, task, backends=("h2o",), compression_ratios=(2,))
    assert set(report.points["backend"]) == {"h2o"}
