"""Runs from folder to folder: the family, resuming after a kill, refusals, and a sweep of what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from hyperscale.cli.main import run as command
from hyperscale.model.load import load_model
from hyperscale.retrofit.log import COLUMNS, read_log
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.run import Report, retrofit
from tests.gated_models import write_gated_model
from tests.processes import PROCESSES
from tests.retrofit.runs import config, fields, live, run
from tests.retrofit.test_trainer import Sequences
from tests.sums import sweep_tiny, write_sums


def arguments(folder: Path, **more: Any) -> list[str]:
    """The command line of `fields`."""
    given = fields(folder, **more)
    given["save_crs"] = ",".join(str(ratio) for ratio in given["save_crs"])
    if given.get("method") == "dmc" and "window" not in more:
        del given["window"]
    return [
        "retrofit",
        *(text for name, value in given.items() for text in (f"--{name.replace('_', '-')}", str(value))),
    ]


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_family(left: Path, right: Path) -> None:
    for ratio in (2, 3):
        for file in ("model.safetensors", "gates.safetensors", "gates.json", "config.json"):
            one, other = left / f"cr-{ratio}" / file, right / f"cr-{ratio}" / file
            assert one.read_bytes() == other.read_bytes(), (ratio, file)


def killed_after(settings: dict[str, Any], last: int) -> list[int]:
    """Steps that a process told of before it was killed at `last`, or ended by itself."""
    here, there = PROCESSES.Pipe(duplex=False)
    child = PROCESSES.Process(target=live, args=(settings, there))
    child.start()
    there.close()
    taken: list[int] = []
    try:
        while not taken or taken[-1] < last:
            taken.append(here.recv())
        if last == 12:
            child.join(60)
            assert child.exitcode == 0
    finally:
        child.kill()
        child.join(60)
        here.close()
    return taken


def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """kill -9, then the same command: weights, gates and log are equal to the last bit."""
    settings = fields(tmp_path, save_minutes=0, output_dir=str(tmp_path / "killed"))
    taken = [step for last in (3, 6, 12) for step in killed_after(settings, last)]
    assert taken[:3] == [1, 2, 3]
    assert sorted(set(taken)) == list(range(1, 13))
    assert len(taken) <= 16, "a state is saved after every step, and no more is lost"
    undisturbed = run(tmp_path, output_dir=str(tmp_path / "undisturbed"))
    assert_same_family(tmp_path / "killed", tmp_path / "undisturbed")
    assert untimed(read_log(tmp_path / "killed", 12)) == untimed(undisturbed.rows)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder)


def test_the_log_says_what_its_schema_does(finished: tuple[Path, Report]) -> None:
    log = pd.read_parquet(finished[0] / "out" / "log.parquet")
    assert list(log) == [column.name for column in COLUMNS]
    assert log["step"].tolist() == list(range(1, 13))
    assert log["compression_ratio"].iloc[-1] == 3
    assert (log["loss"] == log["kl"] + log["aux"]).all()
    assert (log["tokens"] == 4 * 48).all()
    assert log["layer_ratios"].map(len).eq(2).all()


def test_the_family_declares_its_gates_and_loads(finished: tuple[Path, Report]) -> None:
    _, report = finished
    assert [path.name for path in report.checkpoints] == ["cr-2", "cr-3"]
    original = load_model(str(finished[0] / "model"))
    for ratio, path in zip((2, 3), report.checkpoints, strict=True):
        model = load_model(str(path))
        gates = model.spec.gates
        assert gates is not None
        assert (gates.form, gates.scale, gates.bias, gates.window, gates.ratio) == ("separate", 10.0, -5.0, 4, ratio)
        assert model.eos_ids == original.eos_ids
        assert model.chat_template_sha == original.chat_template_sha
        assert model.decoder.get_parameter("layers.0.gate.projection").any()
        assert not torch.equal(model.decoder.embed, original.decoder.embed)


def test_the_same_command_on_a_finished_run_changes_nothing(finished: tuple[Path, Report]) -> None:
    folder = finished[0]
    before = (folder / "out" / "state.pt").read_bytes()
    again = run(folder)
    assert not again.interrupted
    assert len(again.rows) == 12
    assert (folder / "out" / "state.pt").read_bytes() == before


def test_a_run_goes_on_to_a_higher_ratio(tmp_path: Path) -> None:
    run(tmp_path, target_cr=2.0, save_crs=())
    extended = run(tmp_path, output_dir=str(tmp_path / "out"))
    direct = run(tmp_path, output_dir=str(tmp_path / "direct"))
    assert untimed(extended.rows) == untimed(direct.rows)
    assert_same_family(tmp_path / "out", tmp_path / "direct")
    with pytest.raises(ValueError, match=r"--save-crs 2.5: .* stands at CR 3 already"):
        run(tmp_path, save_crs=(2.5,))


def test_gates_only_shares_the_originals_weights(tmp_path: Path) -> None:
    report = run(tmp_path, train="gates", form="linear")
    inodes = {(path / "model.safetensors").stat().st_ino for path in report.checkpoints}
    assert len(inodes) == 1
    original, found = (load_file(f / "model.safetensors") for f in (tmp_path / "model", report.checkpoints[0]))
    assert original.keys() == found.keys()
    assert all(torch.equal(original[name], found[name]) for name in original)


def test_batches_may_come_from_python(tmp_path: Path) -> None:
    report = retrofit(config(tmp_path, data=None), Progress(None), make_batches=lambda tokenizer: Sequences())
    assert len(report.checkpoints) == 2
    assert json.loads((tmp_path / "out" / "run.json").read_text())["identity"]["data"] == "random"


@pytest.mark.parametrize("method", ["dms", "dmc"])
def test_what_comes_out_can_be_swept(tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From text to a W-L point, on the command line."""
    more = {"fade_steps": 2, "scale": 3.0, "lr": 3e-2} if method == "dmc" else {"lr": 2e-2}
    assert command(arguments(tmp_path, method=method, **more)) == 0
    out = capsys.readouterr().out
    assert "cr-3" in out
    assert f"--backends {method} --cr 3" in out
    family = tmp_path / "out"
    swept = sweep_tiny(
        tmp_path / "swept", family / "cr-3", write_sums(tmp_path, problems=2),
        "--backends", method, "--cr", "3", "--widths", "1", "--lengths", "128",
    )  # fmt: skip
    [point] = pd.read_parquet(swept / "points.parquet").to_dict("records")
    assert point["compression_ratio"] == 3
    assert point["realised_ratio"] > 1.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_cr": 1}, "--target-cr 1.0: must be above 1"),
        ({"target_cr": "nan"}, "--target-cr"),
        ({"save_crs": (0.5,)}, "--save-crs 0.5 is not between 1 and --target-cr 3"),
        ({"method": "h2o"}, "--method 'h2o': must be 'dms' or 'dmc'"),
        ({"method": "dmc", "form": "linear"}, "--form linear is not a form of --method dmc"),
        ({"form": "borrowed", "train": "gates"}, "have no weights of their own; use --train all"),
        ({"form": "linear", "fade_steps": 3}, "borrow no neuron"),
        ({"context": "1k"}, "--context 1,024 is beyond the 256 positions"),
        ({"data": "nowhere.jsonl"}, "--data nowhere.jsonl: No such file"),
        ({"model": "no/such folder"}, "no such folder"),
        ({"device": "tpu"}, "--device 'tpu': must be auto, cpu"),
        ({"window": "-1"}, "--window"),
        ({"window": 47}, "--window 47: no token of a row of --context 48 leaves it"),
        ({"window": "1k"}, "--window 1,024: no token of a row of --context 48 leaves it"),
        ({"save_crs": (1.05,)}, "--save-crs 1.05 falls on the same step as CR 1: --steps-per-cr 6 is too few"),
        ({"target_cr": 1.05, "save_crs": (1.05,)}, "--target-cr 1.05 falls on the same step as CR 1:"),
        ({"save_crs": (1.5, 1.51)}, "--save-crs 1.51 falls on the same step as CR 1.5:"),
        ({"save_crs": (2.99,)}, "--target-cr 3 falls on the same step as CR 2.99:"),
        ({"save_crs": ("nan",)}, "--save-crs 'nan': a comma list of numbers is expected, such as 2,4,8"),
        ({"save_crs": ()}, "--save-crs '': a comma list of numbers is expected, such as 2,4,8 (--target-cr is saved"),
        ({"method": "dmc", "window": 4}, "--window is of DMS: DMC merges"),
        ({"method": "dmc", "decision_shift": 1}, "--decision-shift is of DMS: DMC merges"),
        ({"method": "dmc", "borrowed_dim": 0}, "--borrowed-dim is of --form borrowed: gates of form dmc"),
        ({"borrowed_dim": 0}, "--borrowed-dim is of --form borrowed: gates of form separate"),
        ({"form": "linear", "borrowed_dim": -1}, "--borrowed-dim is of --form borrowed: gates of form linear"),
    ],
    ids=str,
)
def test_mistakes_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    line = arguments(tmp_path, **change)
    capsys.readouterr()
    assert command(line) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error.removeprefix("error: ")
    assert not (tmp_path / "out").exists(), "a mistake left a folder behind"


def test_a_checkpoint_that_has_gates_is_refused(tmp_path: Path) -> None:
    write_gated_model(tmp_path / "gated", "adapter")
    with pytest.raises(ValueError, match=r"has gates already \(form separate\)"):
        run(tmp_path, model=str(tmp_path / "gated"))


def test_a_folder_of_something_else_is_refused(finished: tuple[Path, Report], tmp_path: Path) -> None:
    folder = finished[0]
    with pytest.raises(ValueError, match=r"(?s)lr: 0.01 -> 0.02.*choose another --output-dir"):
        run(folder, lr=0.02)
    with pytest.raises(ValueError, match="holds something else"):
        run(folder, output_dir=str(folder / "model"))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        run(folder, output_dir=str(tmp_path / "file"))
    text = folder / "other.jsonl"
    text.write_text((folder / "text.jsonl").read_text() + '{"text": "one more"}\n')
    with pytest.raises(ValueError, match=r"data: .*sha256"):
        run(folder, data=str(text))
