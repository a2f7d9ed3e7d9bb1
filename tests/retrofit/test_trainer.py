"""Steps: what is independent of how they are cut, what learns, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hyperscale.model.load import load_model
from hyperscale.retrofit.batches import Batch, padded
from hyperscale.retrofit.parallel import World
from hyperscale.retrofit.student import layers_of
from hyperscale.retrofit.trainer import Trainer
from tests.retrofit.runs import config


class Sequences:
    """Random sequences of several lengths; the longest is another at each step."""

    identity = "random"

    def batch(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        lengths = torch.randint(5, 30, (4,), generator=generator).tolist()
        return padded([torch.randint(250, (length,), generator=generator).tolist() for length in lengths])


def trainer(folder: Path, **more: Any) -> Trainer:
    settings = config(folder, **more)
    return Trainer(load_model(settings.model, dtype="float32").decoder, settings, Sequences(), World())


@pytest.mark.parametrize("change", [{"micro_batch": 3}, {"recompute": True}], ids=str)
@pytest.mark.parametrize("form", ["separate", "borrowed", "dmc"])
def test_how_a_step_is_computed_does_not_change_it(tmp_path: Path, form: str, change: dict[str, Any]) -> None:
    more = {"form": form, "method": "dmc" if form == "dmc" else "dms", "fade_steps": None if form == "separate" else 1}
    one, other = trainer(tmp_path, **more), trainer(tmp_path, **more, **change)
    for _ in range(3):
        rows = one.take_step(), other.take_step()
        for key in ("loss", "kl", "aux", "alpha", "grad_norm"):
            assert rows[0][key] == pytest.approx(rows[1][key], rel=1e-4, abs=1e-6)
    assert rows[0]["kl"] > 0


def test_gates_begin_at_their_bias_and_the_model_where_it_was(tmp_path: Path) -> None:
    for form in ("separate", "linear"):
        row = trainer(tmp_path, form=form, window=100, context=256).take_step()
        assert row["kl"] < 1e-7, "nothing is out of the window, yet something changed"
        assert row["grad_norm"] > 0
        assert row["alpha"] < 0.03
        assert row["aux"] == pytest.approx(row["alpha_target"] - row["alpha"], abs=0.02)


@pytest.mark.parametrize("form", ["separate", "linear"])
def test_gates_only_leaves_the_model_as_it_was(tmp_path: Path, form: str) -> None:
    taught = trainer(tmp_path, form=form, train="gates")
    before = {name: weight.clone() for name, weight in taught.weights().items()}
    for _ in range(4):
        taught.take_step()
    changed = {name for name, weight in taught.weights().items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(".gate." in name for name in changed)
    assert taught.teacher is taught.student


@pytest.mark.parametrize("form", ["borrowed", "dmc"])
def test_a_borrowed_neuron_fades_before_it_decides(tmp_path: Path, form: str) -> None:
    method = "dmc" if form == "dmc" else "dms"
    taught = trainer(tmp_path, form=form, method=method, fade_steps=4, lr=1e-9)
    rows = [taught.take_step() for _ in range(5)]
    distances = [row["kl"] for row in rows[:4]]
    assert distances[0] < distances[3], "the further it fades, the further the student is from its teacher"
    assert [row["compression_ratio"] for row in rows[:4]] == [1] * 4
    assert all(row["alpha"] == 0 for row in rows[:4])
    assert all(layer.gate.kept == 0 for layer in layers_of(taught.decoder) if layer.gate)
    # Whatever the neurons computed before: gates decide from their bias on.
    assert rows[4]["alpha"] < 0.05
    spec = taught.decoder.spec
    row = spec.head_dim - 1
    assert layers_of(taught.decoder)[0].qkv[row].abs().max() < 1e-6


def test_a_first_step_of_the_fade_is_nearly_the_original(tmp_path: Path) -> None:
    row = trainer(tmp_path, form="borrowed", fade_steps=10_000).take_step()
    assert row["kl"] < 1e-6


@pytest.mark.parametrize("method", ["dms", "dmc"])
def test_it_learns_to_give_up(tmp_path: Path, method: str) -> None:
    """With nothing to lose by it (one KV token is seen as well as another), the share follows its target."""
    scale = {"scale": 10.0} if method == "dms" else {"scale": 3.0, "fade_steps": 0}
    taught = trainer(tmp_path, method=method, steps_per_cr=20, lr=3e-2, **scale)
    rows = [taught.take_step() for _ in range(30)]
    shares = [sum(row["alpha"] for row in part) / 5 for part in (rows[:5], rows[-5:])]
    assert shares[0] < 0.15
    assert shares[1] > 0.4


@pytest.mark.parametrize("method", ["dms", "dmc"])
def test_by_default_the_share_follows_a_small_learning_rate(tmp_path: Path, method: str) -> None:
    """A scale of 1 leaves it at sigmoid(-5), whatever is asked for."""
    taught = trainer(tmp_path, method=method, fade_steps=0, scale=None, steps_per_cr=20, lr=1e-3)
    rows = [taught.take_step() for _ in range(40)]
    assert sum(row["alpha"] for row in rows[:3]) / 3 < 0.1
    assert sum(row["alpha"] for row in rows[-5:]) / 5 > 0.4


def test_autocast_is_near_float32(tmp_path: Path) -> None:
    one, other = trainer(tmp_path), trainer(tmp_path, autocast=True)
    row, rounded = one.take_step(), other.take_step()
    assert rounded["kl"] == pytest.approx(row["kl"], abs=3e-3)
    assert rounded["grad_norm"] == pytest.approx(row["grad_norm"], rel=0.2)
    assert other.decoder.embed.dtype == torch.float32


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    taught = trainer(tmp_path)
    with torch.no_grad():
        layers_of(taught.decoder)[0].down.fill_(float("nan"))
    with pytest.raises(ValueError, match="the loss is not finite at step 1: lower --lr"):
        taught.take_step()


def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_learned(tmp_path: Path) -> None:
    taught = trainer(tmp_path)
    before = {name: weight.clone() for name, weight in taught.weights().items()}
    layers_of(taught.decoder)[0].down.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(ValueError, match="the gradient is not finite at step 1: lower --lr"):
        taught.take_step()
    assert all(torch.equal(weight, before[name]) for name, weight in taught.weights().items())
