"""Training and decoding agree: the trainer's hard mask and the rows that the backends keep, token by token."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hyperscale.backends.dms import DMSSettings
from hyperscale.model.load import Model, load_model
from hyperscale.model.spec import GateSpec
from hyperscale.retrofit.batches import Batch, Layout, padded
from hyperscale.retrofit.relaxed import RelaxedAttention
from tests.backends.stepper import new_backend, step_logits
from tests.gated_models import LAYOUTS, write_gated_model

GENERATOR = torch.Generator().manual_seed(3)
TOKENS = torch.randint(250, (40,), generator=GENERATOR)
OTHER = torch.randint(250, (23,), generator=GENERATOR)


@pytest.fixture(scope="module", params=LAYOUTS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp(request.param)
    write_gated_model(folder, request.param)
    return load_model(str(folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module", params=[layout for layout in LAYOUTS if "dmc" not in layout])
def evicting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp(request.param)
    write_gated_model(folder, request.param)
    return load_model(str(folder), dtype="float32", device="cpu")


class Recorder(RelaxedAttention):
    """Keeps each layer's keys before they are attended, and what the gates said."""

    def __call__(self, layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *gates: Tensor) -> Tensor:
        seen.append((k_nkd, gates[0]))
        return super().__call__(layer, q_nhd, k_nkd, v_nkd, *gates)


seen: list[tuple[Tensor, Tensor]] = []


@torch.inference_mode()
def trainers_logits(model: Model, gates: GateSpec, batch: Batch) -> Tensor:
    """logits_btv of the trainer's pass with hard decisions."""
    seen.clear()
    layout = Layout.of(batch)
    attend = Recorder(gates, layout, None, 0.1)
    hidden = model.decoder.hidden(batch.tokens_bt.flatten(), layout.positions_n, attend, True)
    return model.decoder.logits(hidden).unflatten(0, batch.tokens_bt.shape)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("window", [0, 5])
def test_every_steps_logits_are_the_backends(model: Model, shift: int, window: int) -> None:
    """For all forms of gates: two rows of other lengths, and the two documents packed into one row."""
    gates = model.spec.gates
    assert gates is not None
    name = "dmc" if gates.form == "dmc" else "dms"
    gates = replace(gates, window=window, decision_shift=shift)
    settings = None if name == "dmc" else DMSSettings(window=window, decision_shift=shift)
    one, other = (step_logits(model, new_backend(model, name, settings), x, 1)[0] for x in (TOKENS, OTHER))
    rows = trainers_logits(model, gates, padded([TOKENS.tolist(), OTHER.tolist()]))
    torch.testing.assert_close(rows[0], one, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(rows[1, : len(OTHER)], other, atol=1e-4, rtol=1e-4)
    document = torch.tensor([0] * len(TOKENS) + [1] * len(OTHER))[None]
    packed = trainers_logits(model, gates, Batch(torch.cat((TOKENS, OTHER))[None], document, document >= 0))
    torch.testing.assert_close(packed[0], torch.cat((one, other)), atol=1e-4, rtol=1e-4)


def test_the_scale_is_the_decisions_not_the_importances(tmp_path: Path) -> None:
    """In training, in decoding and by the definition. With a scale of 100 on it too, a slot would hold one token."""
    reference = replace(write_gated_model(tmp_path, "ours-dmc"), scale=100.0)
    (tmp_path / "gates.json").write_text(json.dumps({"form": "dmc", "scale": 100.0, "bias": reference.bias}))
    model = load_model(str(tmp_path), dtype="float32", device="cpu")
    gates = model.spec.gates
    assert gates is not None
    expected = torch.from_numpy(reference(TOKENS.tolist())[0]).float()
    decoded = step_logits(model, new_backend(model, "dmc", None), TOKENS, 7)[0]
    trained = trainers_logits(model, gates, padded([TOKENS.tolist()]))[0]
    torch.testing.assert_close(decoded, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(trained, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [DMSSettings(5, 0), DMSSettings(5, 1), DMSSettings(3, 1, immediate=True)], ids=str)
def test_the_rows_hold_what_the_mask_shows(evicting: Model, settings: DMSSettings) -> None:
    """After every step, each row of each layer: the set of tokens, found again by their keys."""
    gates = evicting.spec.gates
    assert gates is not None
    gates = replace(gates, window=settings.window, decision_shift=settings.decision_shift, immediate=settings.immediate)
    trainers_logits(evicting, gates, padded([TOKENS.tolist()]))
    lag = RelaxedAttention(gates, Layout.of(padded([[0]])), None, 0.1).lag
    decided = list(seen)
    backend = new_backend(evicting, "dms", settings)
    seq = backend.table.open()
    backend.begin(seq, 0)
    evicted = 0
    for t in range(len(TOKENS)):
        with torch.inference_mode():
            evicting.decoder.hidden(
                TOKENS[t : t + 1],
                torch.tensor([t]),
                lambda layer, *x: backend.decode(layer, np.array([seq]), *x),
                True,
            )
        for layer, (k_nkd, logits_nk) in enumerate(decided):
            for head in range(evicting.spec.kv_heads):
                held, _ = backend.table.gather(layer, seq, head)
                found = torch.cdist(held, k_nkd[: t + 1, head]).argmin(-1).tolist()
                shown = {
                    s
                    for s in range(t + 1)
                    if t - s <= settings.window or not (s + lag < len(TOKENS) and logits_nk[s + lag, head] > 0)
                }
                assert sorted(found) == sorted(shown)
                evicted += t + 1 - len(shown)
    assert evicted > 100


def test_the_mask_that_is_applied_is_the_set(evicting: Model) -> None:
    """A key that the set leaves out has no influence; each one in it has."""
    gates = evicting.spec.gates
    assert gates is not None
    layout = Layout.of(padded([TOKENS.tolist()]))
    attend = RelaxedAttention(gates, layout, None, 0.1)
    q, k, v = (torch.randn(40, heads, 8, generator=torch.Generator().manual_seed(0)) for heads in (4, 2, 2))
    logits_nk = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    v.requires_grad_(True)
    out = attend(0, q, k, v, logits_nk)
    for t in (7, 21, 39):
        [of_v] = torch.autograd.grad(out[t].sum(), v, retain_graph=True)
        for head in range(2):
            for s in range(40):
                decider = s + gates.decision_shift
                gone = decider < 40 and bool(logits_nk[decider, head] > 0) and t - s > gates.window
                assert bool(of_v[s, head].any()) == (s <= t and not gone)
