"""Checkpoints with gates: what is read of them, and what their gates decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperscale.model.load import Model, load_model, load_spec
from hyperscale.model.spec import GateSpec
from tests.gated_models import ADAPTER, LAYOUTS, WINDOW, gate_tensors, write_gated_model
from tests.model.attend import causal_attend
from tests.reference.gated_qwen3 import GatedQwen3
from tests.tiny_models import write_tiny_model

TOKENS = torch.randint(250, (40,), generator=torch.Generator().manual_seed(3))
SPECS = {
    "published": GateSpec("borrowed", window=WINDOW, ratio=8),
    "adapter": GateSpec("separate", window=WINDOW, ratio=8),
    "adapter-bias": GateSpec("separate", window=WINDOW, ratio=8, linear_bias=True),
    "adapter-layer": GateSpec("separate", window=WINDOW, ratio=8, per_layer=True),
    "ours-linear": GateSpec("linear", scale=10.0, window=3),
    "ours-first": GateSpec("borrowed", borrowed_dim=0, window=4, decision_shift=0),
    "ours-dmc": GateSpec("dmc", scale=1.0, bias=0.3),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def gated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, GatedQwen3, Model]:
    reference = write_gated_model(tmp_path_factory.mktemp(request.param), request.param)
    return request.param, reference, load_model(str(reference.folder), dtype="float32", device="cpu")


class Recorder:
    """Full attention that keeps what the gates pass on."""

    def __init__(self) -> None:
        self.decided: list[tuple[Tensor, ...]] = []
        self.q: list[Tensor] = []
        self.k: list[Tensor] = []

    def __call__(self, layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *decided: Tensor) -> Tensor:
        self.decided.append(decided)
        self.q.append(q_nhd)
        self.k.append(k_nkd)
        return causal_attend([len(q_nhd)])(layer, q_nhd, k_nkd, v_nkd)


def test_what_a_layout_declares(gated: tuple[str, GatedQwen3, Model]) -> None:
    layout, reference, model = gated
    assert model.spec.gates == SPECS[layout]
    assert load_spec(str(reference.folder)).gates == SPECS[layout]


@torch.inference_mode()
def test_decisions_are_the_references(gated: tuple[str, GatedQwen3, Model]) -> None:
    _, reference, model = gated
    recorder = Recorder()
    x_td = model.decoder.hidden(TOKENS, torch.arange(len(TOKENS)), recorder, True)
    full = GatedQwen3(**{**vars(reference), "evicts": False})
    logits_tv, decisions, _ = full(TOKENS.tolist())
    np.testing.assert_allclose(model.decoder.logits(x_td).numpy(), logits_tv, atol=1e-4)
    for decided, expected_tk in zip(recorder.decided, decisions, strict=True):
        assert decided[0].dtype == torch.float32
        np.testing.assert_allclose(decided[0].numpy(), expected_tk, atol=1e-3)
    shares = [np.mean(expected_tk > 0) for expected_tk in decisions]
    assert 0.1 < min(shares) <= max(shares) < 0.9


@torch.inference_mode()
def test_a_gate_that_is_not_asked_passes_nothing_on_and_still_mutes(gated: tuple[str, GatedQwen3, Model]) -> None:
    layout, _, model = gated
    asked, silent = Recorder(), Recorder()
    logits = [
        model.decoder.logits(model.decoder.hidden(TOKENS, torch.arange(len(TOKENS)), recorder, recorder is asked))
        for recorder in (asked, silent)
    ]
    assert silent.decided == [(), ()]
    assert torch.equal(*logits)
    group = model.spec.heads // model.spec.kv_heads
    for q_nhd, k_nkd in zip(silent.q, silent.k, strict=True):
        muted = {"published": q_nhd[:, ::group, -1], "ours-first": q_nhd[:, ::group, 0], "ours-dmc": q_nhd[..., -1]}
        if layout in muted:
            assert not muted[layout].any()
        assert q_nhd.count_nonzero() == q_nhd.numel() - (muted[layout].numel() if layout in muted else 0)
        assert k_nkd[..., -1].any() == (layout != "ours-dmc")


def test_what_the_gate_of_dmc_passes_on(tmp_path: Path) -> None:
    reference = write_gated_model(tmp_path, "ours-dmc")
    model, recorder = load_model(str(reference.folder), dtype="float32", device="cpu"), Recorder()
    with torch.inference_mode():
        model.decoder.hidden(TOKENS, torch.arange(len(TOKENS)), recorder, True)
    for k_nkd, (_, importance_nk, unrotated_nkd, cos_n1d, sin_n1d) in zip(recorder.k, recorder.decided, strict=True):
        rotated_nkd = unrotated_nkd * cos_n1d + unrotated_nkd.roll(4, -1) * sin_n1d
        rotated_nkd[..., -1] = 0
        torch.testing.assert_close(rotated_nkd, k_nkd)
        # -bias stands in the importance, so that tokens start at nearly equal weights (there, bias is -5).
        assert abs(importance_nk.mean() + 0.3) < 0.5
        assert importance_nk.shape == (len(TOKENS), 2)


def test_gates_learn(gated: tuple[str, GatedQwen3, Model]) -> None:
    """Gradients reach what decides through a relaxed mask, and are those of finite differences."""
    _, _, model = gated
    decoder = model.decoder.double()
    spec = model.spec.gates
    assert spec is not None
    name = "layers.0.gate.projection" if spec.learned else "layers.0.qkv"
    weight = decoder.get_parameter(name)
    weight.requires_grad_(True)
    weight.grad = None

    def relaxed(layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *decided: Tensor) -> Tensor:
        group = q_nhd.shape[1] // k_nkd.shape[1]
        k, v = (x.repeat_interleave(group, 1) for x in (k_nkd, v_nkd))
        scores = torch.einsum("nhd,mhd->hnm", q_nhd, k)
        scores = scores - torch.nn.functional.softplus(decided[0].double() / 50).T.repeat_interleave(group, 0)[:, None]
        later = torch.ones(len(q_nhd), len(q_nhd), dtype=torch.bool).triu(1)
        return torch.einsum("hnm,mhd->nhd", scores.masked_fill(later, -torch.inf).softmax(-1), v)

    def loss() -> Tensor:
        return decoder.hidden(TOKENS[:12], torch.arange(12), relaxed, True).square().mean(0)[:8].sum()

    try:
        loss().backward()
        assert weight.grad is not None
        row, step = (1 if spec.learned else 8 * model.spec.heads - 9), 1e-3
        for column in (0, 17):
            before = weight.data[row, column].item()
            values = []
            for sign in (1, -1):
                weight.data[row, column] = before + sign * step
                with torch.no_grad():
                    values.append(loss().item())
            weight.data[row, column] = before
            np.testing.assert_allclose(weight.grad[row, column], (values[0] - values[1]) / (2 * step), rtol=0.02)
        assert weight.grad.abs().max() > 1e-4
    finally:
        decoder.float().requires_grad_(False)


@torch.inference_mode()
def test_gates_in_bfloat16(tmp_path: Path) -> None:
    write_gated_model(tmp_path, "adapter")
    shares = []
    for dtype in ("float32", "bfloat16"):
        model, recorder = load_model(str(tmp_path), dtype=dtype, device="cpu"), Recorder()
        model.decoder.hidden(TOKENS, torch.arange(len(TOKENS)), recorder, True)
        shares.append(torch.stack([decided[0] for decided in recorder.decided]))
    assert shares[1].dtype == torch.float32
    assert ((shares[0] > 0) == (shares[1] > 0)).float().mean() > 0.95


def test_a_plain_checkpoint_has_no_gates(tmp_path: Path) -> None:
    model = load_model(str(write_tiny_model(tmp_path)), device="cpu")
    assert model.spec.gates is None
    assert model.decoder.layers[0].gate is None


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        ({"form": "soft"}, "form must be one of separate, linear, borrowed, dmc, not 'soft'"),
        ({"window": 3}, "expected an object with a form"),
        ({"form": "linear", "windows": 3}, "unknown field 'windows'; known: .*window"),
        ({"form": "linear", "window": -1}, "window must be a whole number"),
        ({"form": "linear", "window": 1.5}, "window must be a whole number"),
        ({"form": "linear", "window": True}, "window must be a whole number"),
        ({"form": "linear", "scale": "100"}, "scale must be a finite number"),
        ({"form": "linear", "scale": 10**400}, "scale must be a finite number"),
        ({"form": "linear", "scale": float("nan")}, "scale must be a finite number"),
        ({"form": "linear", "bias": float("inf")}, "bias must be a finite number"),
        ({"form": "linear", "decision_shift": 1.0}, "decision_shift must be 0 or 1"),
        ({"form": "borrowed", "borrowed_dim": -1.0}, "borrowed_dim must be 0 or -1"),
        ({"form": "borrowed", "borrowed_dim": False}, "borrowed_dim must be 0 or -1"),
        ({"form": "linear", "ratio": 0.5}, "ratio must be a number of 1 or more"),
        ({"form": "linear", "ratio": float("nan")}, "ratio must be a number of 1 or more"),
        ({"form": "linear", "decision_shift": 2}, "decision_shift must be 0 or 1"),
        ({"form": "borrowed", "borrowed_dim": 3}, "borrowed_dim must be 0 or -1"),
        ({"form": "linear", "per_layer": 1}, "per_layer must be true or false"),
        ({"form": "linear", "immediate": 1}, "immediate must be true or false"),
        ({"form": "linear", "ratio": "8x"}, "ratio must be a number"),
    ],
)
def test_declarations_that_are_refused(tmp_path: Path, declared: dict[str, Any], match: str) -> None:
    folder = write_tiny_model(tmp_path)
    (folder / "gates.json").write_text(json.dumps(declared))
    with pytest.raises(ValueError, match=match):
        load_spec(str(folder))
    (folder / "gates.json").unlink()
    edit(folder, hyperscale_gates=declared)
    with pytest.raises(ValueError, match=match):
        load_spec(str(folder))


def test_gates_that_would_be_overlooked_are_refused(tmp_path: Path) -> None:
    """A folder where a file is expected; gates beside a GGUF file, whose reader knows none."""
    folder = write_tiny_model(tmp_path / "model")
    for name, match in (("gates.json", "not readable as JSON"), ("gates.safetensors", "needs a gates.json")):
        (folder / name).mkdir()
        with pytest.raises(ValueError, match=match):
            load_spec(str(folder))
        (folder / name).rmdir()
    (folder / "gates.json").write_text('{"form": "borrowed"}')
    (folder / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="gates go with a checkpoint folder"):
        load_spec(str(folder / "m.gguf"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: x.to(torch.complex64), "holds complex64"),
        (lambda x: x.to(torch.int8), "holds int8"),
        (lambda x: x.to(torch.float8_e4m3fn), "holds float8_e4m3fn"),
    ],
)
def test_gates_of_other_numbers_are_refused(tmp_path: Path, change: Callable[[Tensor], Tensor], match: str) -> None:
    folder = write_gated_model(tmp_path, "ours-linear").folder
    tensors = load_file(folder / "gates.safetensors")
    name = next(iter(tensors))
    save_file(tensors | {name: change(tensors[name]).contiguous()}, folder / "gates.safetensors")
    with pytest.raises(ValueError, match=f"{name} holds .*{match.removeprefix('holds ')}"):
        load_model(str(folder), device="cpu")


def test_published_keys_that_are_refused(tmp_path: Path) -> None:
    folder = write_gated_model(tmp_path, "adapter").folder
    for fields, match in (
        ({"dms_alpha_per": "token"}, "dms_alpha_per must be head or layer"),
        ({"dms_initial_alpha_offset": None}, "dms_initial_alpha_offset must be a finite number"),
        ({"dms_separate_alpha": "false"}, "dms_separate_alpha must be true or false"),
        ({"dms_window_size": "512"}, "window must be a whole number"),
    ):
        edit(folder, **(ADAPTER | fields))
        with pytest.raises(ValueError, match=match):
            load_spec(str(folder))


def test_tensors_that_do_not_fit_the_declaration(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, "qwen3")
    save_file(gate_tensors(0, norm=True, bias=False), folder / "gates.safetensors")
    refused(folder, "gates.safetensors needs a gates.json, or hyperscale_gates in config.json")
    (folder / "gates.json").write_text(json.dumps({"form": "linear"}))
    refused(folder, "dms_proj_alpha_norm.weight does not belong to the model that its config describes")
    (folder / "gates.json").write_text(json.dumps({"form": "separate", "linear_bias": True}))
    refused(folder, "2 tensors are missing, such as model.layers.0.self_attn.dms_proj_alpha.bias")
    (folder / "gates.json").write_text(json.dumps({"form": "separate"}))
    tensors = load_file(folder / "gates.safetensors")
    projection = load_model(str(folder), device="cpu").decoder.get_parameter("layers.1.gate.projection")
    assert torch.equal(projection, tensors["model.layers.1.self_attn.dms_proj_alpha.weight"])
    (folder / "gates.safetensors").unlink()
    refused(folder, "4 tensors are missing")


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        load_model(str(folder), device="cpu")
