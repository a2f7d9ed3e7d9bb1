"""`hyperscale latency`: what it takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hyperscale.cli.main import run
from hyperscale.executors.local import LocalExecutor
from tests.sums import sweep_tiny, write_sums
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"), "qwen2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A swept folder without a latency table, which no test here writes to."""
    task = write_sums(tmp_path_factory.mktemp("task"), problems=2)
    out = tmp_path_factory.mktemp("out") / "out"
    return sweep_tiny(out, model, task, "--widths", "1", "--lengths", "64", "--no-latency")


def test_a_model_is_measured_alone(tmp_path, model, capsys):
    out = tmp_path / "alone"
    arguments = ["latency", "--model", str(model), "--dtype", "float32", "--device", "cpu", "--lengths", "64"]
    arguments += ["--backends", "vanilla,tova", "--cr", "4", "--latency-seconds", "0.01", "--max-batch", "4"]
    assert run([*arguments, "-o", str(out)]) == 0
    rows = pd.read_parquet(out / "latency.parquet")
    assert set(rows["backend"]) == {"vanilla", "tova"}
    assert rows["context"].max() == 64
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere-at-all"], "no results folder at nowhere-at-all"),
        (["FOLDER", "--lengths", "64"], "--lengths: FOLDER says it"),
        (["--model", "some/model"], "--lengths"),
        (["--latency-seconds", "0"], "--latency-seconds"),
        (["--engine", "vllm", "--backends", "vanilla"], "--engine vllm: latency is measured of torch alone"),
        (["-o", "FOLDER"], "holds a sweep"),
    ],
)
def test_mistakes_are_told_in_a_line(folder, arguments, message, capsys):
    named = [argument.replace("FOLDER", str(folder)) for argument in arguments]
    assert run(["latency", *named]) == 2
    error = capsys.readouterr().err
    assert message.replace("FOLDER", str(folder)) in error
    assert error.count("\n") == 1


def test_another_model_than_the_folders_is_refused(folder, model, monkeypatch, capsys):
    identity = LocalExecutor.identity
    monkeypatch.setattr(LocalExecutor, "identity", lambda self: {**identity(self), "weights_sha": "other"})
    assert run(["latency", str(folder)]) == 2
    assert "weights_sha" in capsys.readouterr().err
    assert not (folder / "latency.parquet").exists()
