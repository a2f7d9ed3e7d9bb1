"""Families: which checkpoint each backend runs, and what ties a folder to them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from hyperscale.cli.main import run
from hyperscale.model.load import load_spec
from hyperscale.model.source import Family, checkpoint_of, family_of, find, write_family
from hyperscale.plan.resolve import resolve
from tests.folders import table
from tests.gated_models import write_gated_model
from tests.sums import sweep_tiny, write_sums
from tests.test_config import make
from tests.tiny_models import write_tiny_model


def gated(folder: Path, layout: str, ratio: float, seed: int) -> Path:
    """A checkpoint with gates of our layout that says its ratio."""
    write_gated_model(folder, layout, seed)
    declared = json.loads((folder / "gates.json").read_text())
    (folder / "gates.json").write_text(json.dumps({**declared, "ratio": ratio}))
    return folder


@pytest.fixture
def family(tmp_path: Path) -> Path:
    folder = write_tiny_model(tmp_path / "family", "qwen3")
    gated(folder / "dms-2", "ours-first", 2, seed=1)
    gated(folder / "dms-4", "ours-first", 4, seed=2)
    gated(folder / "dmc-4", "ours-dmc", 4, seed=3)
    write_family(folder, ".", None, {("dms", 2): "dms-2", ("dms", 4): "dms-4", ("dmc", 4): "dmc-4"})
    return folder


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "task").mkdir()
    return write_sums(tmp_path / "task", problems=2)


def test_each_run_has_its_checkpoint(family: Path) -> None:
    runs = resolve(
        make(model=str(family), backends=("vanilla", "tova", "dms", "dmc"), compression_ratios=(2, 4, 8))
    ).runs
    named = {run.name: checkpoint_of(str(family), run.backend, run.compression_ratio) for run in runs}
    assert {name: path for name, path in named.items() if "tova" not in name} == {
        "vanilla": str(family),
        "dms CR 2": str(family / "dms-2"),
        "dms CR 4": str(family / "dms-4"),
        "dmc CR 4": str(family / "dmc-4"),
    }
    assert all(path == str(family) for name, path in named.items() if "tova" in name)


def test_models_lists_the_retrofits(family: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", str(family)]) == 0
    assert "dms CR 2, dms CR 4, dmc CR 4" in capsys.readouterr().out
    assert run(["models"]) == 0
    assert "tiny-immediate" in capsys.readouterr().out


def test_the_original_may_lie_elsewhere(family: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.move(family / "dms-2", other / "x")
    write_family(other, str(family), None, {("dms", 2): "x"})
    assert family_of(str(other)) == Family(str(family), None, {("dms", 2): str(other / "x")})
    assert find(str(other), None, weights=True).path == family
    assert load_spec(str(other)).gates is None
    write_family(other, "../family", None, {("dms", 2): "x"})
    assert find(str(other), None, weights=True).path.resolve() == family


def test_a_sweep_of_a_family_equals_sweeps_of_its_members(family: Path, task: Path, tmp_path: Path) -> None:
    grid = "--widths", "1,2", "--lengths", "48"
    whole = sweep_tiny(tmp_path / "whole", family, task, *grid, "--backends", "dms,vanilla,dmc", "--cr", "2,4")
    samples = table(whole, "samples")
    assert set(zip(samples["backend"], samples["compression_ratio"], strict=True)) == {
        ("vanilla", 1), ("dms", 2), ("dms", 4), ("dmc", 4),
    }  # fmt: skip
    for backend, ratio in (("dms", 2), ("dms", 4), ("dmc", 4)):
        alone = sweep_tiny(
            tmp_path / f"{backend}-{ratio}", family / f"{backend}-{ratio}", task, *grid,
            "--backends", backend, "--cr", str(ratio),
        )  # fmt: skip
        one = table(alone, "samples")
        part = samples[(samples["backend"] == backend) & (samples["compression_ratio"] == ratio)]
        for column in ("tokens", "step_reads", "step_live"):
            assert part[column].tolist() == one[column].tolist()
    assert samples.groupby(["backend", "compression_ratio"])["tokens"].apply(tuple).nunique() == 4


def test_another_member_in_the_same_place_is_refused(
    family: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, grid = tmp_path / "out", ("--lengths", "48", "--backends", "vanilla,dms", "--cr", "2")
    sweep_tiny(out, family, task, "--widths", "1", *grid)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["identity"]["checkpoints"].keys() == {"dms CR 2"}
    path = family / "dms-2" / "model.safetensors"
    save_file({name: weight * 1.01 for name, weight in load_file(path).items()}, path)
    capsys.readouterr()
    sweep_tiny(out, family, task, "--widths", "1,2", *grid, exit_code=2)
    assert "dms CR 2.weights_sha" in capsys.readouterr().err


def test_what_a_family_has_not_is_told(family: Path, task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["plan", "--model", str(family), "--tasks", str(task), "--widths", "1", "--lengths", "64"]
    assert run([*base, "--backends", "dms", "--cr", "8"]) == 2
    assert "dms checkpoints for 2, 4 only" in capsys.readouterr().err
    write_family(family, ".", None, {("dms", 2): "dms-2"})
    assert run([*base, "--backends", "dmc", "--cr", "4"]) == 2
    assert "no checkpoint for --backends dmc" in capsys.readouterr().err
    write_family(family, ".", None, {("dms", 4): "dms-2"})
    assert run([*base, "--backends", "dms", "--cr", "4"]) == 2
    assert "its gates are not of ratio 4" in capsys.readouterr().err
    assert run(["models", str(family), "--revision", "main"]) == 2
    assert "a family of checkpoints" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "family.json"),
        ('{"original": "."}', "members: Field required"),
        ('{"original": ".", "members": [{"backend": "dms", "ratio": 1, "checkpoint": "x"}]}', "ratio"),
        ('{"original": ".", "members": [], "more": 1}', "more"),
    ],
)
def test_a_broken_family_is_one_line(family: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    (family / "family.json").write_text(text)
    assert run(["models", str(family)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
