"""The run's folder: what pins its settings, what is left of a mistake, and of a signal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hyperscale.model.load import load_model
from hyperscale.process.interrupt import Interrupt
from hyperscale.retrofit.log import read_log
from hyperscale.retrofit.parallel import World, load_state
from hyperscale.retrofit.progress import Progress
from hyperscale.retrofit.run import _Session, retrofit
from hyperscale.retrofit.samples import text_batches
from hyperscale.retrofit.trainer import Trainer
from tests.retrofit.runs import config, fields, run
from tests.tiny_models import write_tiny_model


class Died(Exception):
    """What stands for the end of a process."""


def dies_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Trainer.take_step

    def dying(trainer: Trainer) -> Any:
        if trainer.step + 1 == step:
            raise Died
        return take(trainer)

    monkeypatch.setattr(Trainer, "take_step", dying)


def test_a_run_that_died_before_it_saved_anything_gives_way_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another rate, and another model: base/ is that of the run which stands in run.json."""
    write_tiny_model(tmp_path / "other", "llama")
    with monkeypatch.context() as patched:
        dies_at(3, patched)
        with pytest.raises(Died):
            run(tmp_path, train="gates")
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == ["base", "run.json"]
    report = run(tmp_path, train="gates", model=str(tmp_path / "other"), lr=2e-2)
    held = json.loads((out / "run.json").read_text())
    assert held["identity"]["config"]["lr"] == 2e-2
    assert len(held["sessions"]) == 1
    original, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "other", out / "base"))
    assert original.keys() == base.keys()
    assert all(torch.equal(original[name], base[name]) for name in original)
    assert load_model(str(report.checkpoints[0])).spec.family == "llama"


def test_the_same_run_goes_on_where_nothing_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        dies_at(1, patched)
        with pytest.raises(Died):
            run(tmp_path)
    run(tmp_path, target_cr=1.5, save_crs=())
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["sessions"]) == 2


@pytest.mark.parametrize("kept", ["state.pt", "cr-2", "samples/part-00000001-00000001.parquet"])
def test_whatever_could_be_gone_on_from_pins_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    with monkeypatch.context() as patched:
        dies_at(1, patched)
        with pytest.raises(Died):
            run(tmp_path)
    (tmp_path / "out" / kept).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"(?s)lr: 0.01 -> 0.02.*choose another --output-dir"):
        run(tmp_path, lr=2e-2)


@pytest.mark.parametrize(
    "change", [{"data": "nowhere.jsonl"}, {"text_field": "body"}, {"model": "nowhere/x y"}, {"context": 512}], ids=str
)
def test_a_mistake_leaves_no_folder_behind(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        run(tmp_path, output_dir=str(tmp_path / "some" / "where"), **change)
    assert not (tmp_path / "some").exists()


def test_a_mistake_leaves_a_folder_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="No such file"):
        run(tmp_path, data="nowhere.jsonl")
    assert (tmp_path / "out").exists()


class Late(Interrupt):
    """A signal that comes just after it was asked for the first time."""

    asked = 0

    @property
    def requested(self) -> bool:
        self.asked += 1
        return self.asked > 1

    @requested.setter
    def requested(self, value: bool) -> None:
        """Set by nobody but the constructor."""


def test_a_signal_at_any_moment_ends_in_a_saved_state(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.output_dir.mkdir()
    model = load_model(settings.model, dtype="float32")
    session = _Session(settings, model, text_batches(settings)(model.tokenizer), World())
    assert session.train(Progress(None), Late())
    state = load_state(settings.output_dir)
    assert state is not None
    assert state.step == len(session.log) == len(read_log(settings.output_dir, 100)) > 0


@pytest.mark.parametrize("train", ["all", "gates"])
def test_a_checkpoint_whose_config_names_no_dtype_keeps_that_of_its_tensors(tmp_path: Path, train: str) -> None:
    model = Path(fields(tmp_path)["model"])
    named = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({key: value for key, value in named.items() if "dtype" not in key}))
    weights = {name: tensor.bfloat16() for name, tensor in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    [checkpoint] = retrofit(config(tmp_path, target_cr=1.5, save_crs=(), train=train), Progress(None)).checkpoints
    assert {tensor.dtype for tensor in load_file(checkpoint / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((checkpoint / "config.json").read_text())["dtype"] == "bfloat16"
