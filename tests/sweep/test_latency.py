"""The latency table at a sweep's end, apart from it, and after a kill; with the real engine and tiny random models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hyperscale.cli.main import run
from hyperscale.process.contention import Contention
from hyperscale.sweep import latency
from hyperscale.sweep.latency import noise_warning, turns
from tests.folders import table
from tests.sums import sweep_tiny, write_sums
from tests.tiny_models import write_tiny_model

GRID = ("--widths", "1,2", "--lengths", "64,96", "--backends", "vanilla,tova,quest", "--cr", "4", "--max-batch", "12")
FAST = ("--latency", "--latency-seconds", "0.01")
PLUGIN = """
from hyperscale.backends.base import Backend
from hyperscale.backends.vanilla import Vanilla

class Plain(Vanilla):
    name = "plain"
    assume = Backend.assume
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"), "qwen2")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("task"), problems=2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, model: Path, task: Path) -> Path:
    return sweep_tiny(tmp_path_factory.mktemp("out") / "out", model, task, *GRID, *FAST)


@pytest.fixture
def folder(tmp_path: Path, measured: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "out"))


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(latency, "measure", refuse)


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "latency.parquet")


def points_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "points.parquet")


def test_a_sweep_ends_with_a_table_that_covers_its_runs(measured):
    rows, samples = rows_of(measured), table(measured, "samples")
    assert set(zip(rows["backend"], rows["cache_budget"].fillna(0), strict=True)) == {
        ("vanilla", 0), ("tova", 16), ("tova", 24), ("quest", 16), ("quest", 24),
    }  # fmt: skip
    for _, of_run in rows.groupby(["backend", "cache_budget"], dropna=False):
        steps, prompts = (of_run[of_run["kind"] == kind] for kind in ("decode", "prefill"))
        longest = 64 if (of_run["cache_budget"] == 16).all() else 96
        assert steps["context"].max() == longest
        assert steps["context"].min() <= samples["prompt_tokens"].min() + 1
        assert prompts["context"].max() == samples["prompt_tokens"].max()
        assert set(steps["batch"][steps["context"] == longest]) >= {1, 12}
    assert (rows["rounds"] == 5).all()
    assert rows["measured"].nunique() == 1, "all took turns"
    assert (rows["seconds_low"] <= rows["seconds"]).all()
    assert (rows["seconds"] <= rows["seconds_high"]).all()
    assert (rows["disturbed"] == (rows["seconds_high"] - rows["seconds_low"] > 0.2 * rows["seconds"])).all()
    assert (rows["roofline_seconds"] > 0).all()
    assert rows[["device", "dtype", "memory_budget", "max_batch"]].drop_duplicates().shape[0] == 1
    assert (rows["memory_budget"] == 64_000_000).all()
    held = rows[(rows["kind"] == "decode") & (rows["backend"] != "quest")]
    most = np.fmin(held["context"], held["cache_budget"].fillna(1000))
    assert (held["row_tokens"] == most).all()
    assert (held["row_reads"] == most).all()


def test_every_point_has_its_throughput_from_the_table(measured):
    points = points_of(measured)
    assert (points["timing"] == "latency").all()
    assert (points["throughput"] > 0).all()
    assert (points["max_threads"] == 12).all()
    assert (points["as_run_seconds"] > 0).all()
    assert points["roofline_share"].between(0, 1, inclusive="neither").all()
    frontiers = pd.read_parquet(measured / "frontiers.parquet")
    assert "throughput" in set(frontiers["axis"])


def test_the_manifest_tells_of_the_machine_during_each_run(measured):
    [session] = json.loads((measured / "manifest.json").read_text())["sessions"]
    assert [run["run"] for run in session["runs"]] == [
        "sums | vanilla", "sums | tova B 16", "sums | tova B 24", "sums | quest B 16", "sums | quest B 24",
    ]  # fmt: skip
    assert all(run["step_spread"] >= 1 for run in session["runs"])


@pytest.mark.usefixtures("untouched")
def test_a_finished_folder_is_not_measured_again(folder, model, task):
    before, points = rows_of(folder), points_of(folder)
    sweep_tiny(folder, model, task, *GRID, *FAST)
    pd.testing.assert_frame_equal(rows_of(folder), before)
    pd.testing.assert_frame_equal(points_of(folder), points)


@pytest.mark.usefixtures("untouched")
def test_without_latency_nothing_is_measured_and_throughput_is_unknown(tmp_path, model, task, capfd):
    folder = sweep_tiny(tmp_path / "out", model, task, *GRID, "--no-latency")
    assert f"hyperscale latency {folder}" in capfd.readouterr().err
    assert not (folder / "latency.parquet").exists()
    points = points_of(folder)
    assert points["throughput"].isna().all()
    assert points["timing"].isna().all()
    assert (points["as_run_seconds"] > 0).all()
    assert set(pd.read_parquet(folder / "frontiers.parquet")["axis"]) == {"kv_reads", "peak_tokens", "peak_bytes"}


def test_it_can_be_measured_later(tmp_path, model, task, measured):
    folder = sweep_tiny(tmp_path / "out", model, task, *GRID, "--no-latency")
    assert run(["latency", str(folder), "--latency-seconds", "0.01", "--max-batch", "6"]) == 0
    points = points_of(folder)
    assert (points["throughput"] > 0).all()
    assert (points["max_threads"] == 6).all()
    same = [name for name in points if name not in ("throughput", "max_threads", "roofline_share", "as_run_seconds")]
    same.remove("device_bytes")
    pd.testing.assert_frame_equal(points[same], points_of(measured)[same])


def test_a_longer_sweep_is_measured_again_as_far_as_it_goes(folder, model, task):
    more = [arg.replace("64,96", "64,96,128") for arg in GRID]
    sweep_tiny(folder, model, task, *more, *FAST)
    assert rows_of(folder)["context"].max() == 128
    assert (points_of(folder)["timing"] == "latency").all()


def test_rows_of_runs_that_are_not_named_stay_under_the_same_conditions(folder, model, task):
    some = ("--widths", "1,2", "--lengths", "64,96", "--backends", "h2o", "--cr", "4", "--max-batch")
    before = points_of(folder)
    sweep_tiny(folder, model, task, *some, "12", *FAST)
    assert set(rows_of(folder)["backend"]) == {"vanilla", "tova", "quest", "h2o"}
    kept = points_of(folder).query("backend != 'h2o'").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
    sweep_tiny(folder, model, task, *some, "5", *FAST)
    assert set(rows_of(folder)["backend"]) == {"h2o"}
    points = points_of(folder)
    assert (points["max_threads"][points["backend"] == "h2o"] == 5).all()
    assert points["throughput"][points["backend"] == "vanilla"].isna().all()


def test_an_interruption_leaves_the_folder_as_it_was(tmp_path, model, task, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(latency, "take_turns", interrupted)
        sweep_tiny(folder, model, task, *GRID, *FAST)
    assert not (folder / "latency.parquet").exists()
    assert points_of(folder)["throughput"].isna().all()
    with monkeypatch.context() as patched:
        patched.setattr(latency, "take_turns", interrupted)
        assert run(["latency", str(folder), "--latency-seconds", "0.01"]) == 130
    assert not (folder / "latency.parquet").exists()
    sweep_tiny(folder, model, task, *GRID, *FAST)
    assert (points_of(folder)["throughput"] > 0).all()


@pytest.mark.slow
def test_a_kill_while_it_measures_costs_the_measurement_alone(tmp_path, model, task):
    folder = tmp_path / "out"
    arguments = ["sweep", "--model", str(model), "--tasks", str(task), "--dtype", "float32", "--device", "cpu"]
    arguments += ["--temperature", "1", "--seed", "3", "--memory-budget", "64MB", "--output-dir", str(folder), *GRID]
    code = f"from hyperscale.cli.main import run; run({[*arguments, '--latency', '--latency-seconds', '600']!r})"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if "quest B 24: 4/4 threads" in line:
            break
    time.sleep(2)
    child.kill()
    child.wait()
    assert not (folder / "latency.parquet").exists()
    before = table(folder, "samples")
    assert run([*arguments, *FAST]) == 0
    pd.testing.assert_frame_equal(table(folder, "samples"), before)
    assert (points_of(folder)["throughput"] > 0).all()


def test_a_damaged_table_is_made_again(folder, model, task, capfd):
    (folder / "latency.parquet").write_bytes(b"no parquet")
    sweep_tiny(folder, model, task, *GRID, *FAST)
    assert "latency.parquet is damaged" in capfd.readouterr().err
    assert (points_of(folder)["throughput"] > 0).all()


def test_a_plugin_without_the_hook_is_measured_by_real_prompts(tmp_path, model, task):
    file = tmp_path / "plain.py"
    file.write_text(PLUGIN)
    plugin = ("--widths", "1", "--lengths", "64", "--backends", f"{file}:Plain", "--cr", "2", "--max-batch", "3")
    folder = sweep_tiny(tmp_path / "out", model, task, *plugin, *FAST)
    assert (points_of(folder)["timing"] == "latency").all()
    steps = rows_of(folder).query("kind == 'decode'")
    assert (steps["row_tokens"] == steps["context"]).all()


def test_runs_take_turns_as_far_as_memory_holds_them_together():
    assert list(turns([1, 2, 3, 4], lambda run: 30, 80)) == [[1, 2], [3, 4]]  # type: ignore[list-item]
    assert list(turns([1, 2], lambda run: 500, 80)) == [[1], [2]]  # type: ignore[list-item]


@pytest.mark.parametrize(("cells", "foreign", "told"), [(51, 0.5, True), (50, 0.5, False), (51, 0.1, False)])
def test_noise_is_told_once_where_other_work_ran_beside(cells: int, foreign: float, told: bool) -> None:
    machine: Contention = {
        "seconds": 9.0, "load_average_begin": None, "load_average_end": None, "own_share": 0.95 - foreign,
        "foreign_share": foreign, "idle_share": 0.05,
    }  # fmt: skip
    warning = noise_warning([True] * cells + [False] * (100 - cells), machine)
    assert (warning is not None) == told
    if warning is not None:
        assert "differ by more than 20% in 51 of 100 cells" in warning
        assert "other work took 50%" in warning
