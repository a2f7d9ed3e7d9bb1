from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hyperscale.model.load import load_model, load_spec
from tests.tiny_models import LLAMA3_ROPE, YARN_ROPE, write_tiny_model


def test_spec_needs_no_weights(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, "qwen3", head_dim=16, rope_parameters=YARN_ROPE)
    full = load_model(str(folder), device="cpu").spec
    (folder / "model.safetensors").unlink()
    spec = load_spec(str(folder))
    assert spec == full
    assert (spec.family, spec.layers, spec.heads, spec.kv_heads, spec.head_dim) == ("qwen3", 2, 4, 2, 16)
    assert (spec.qk_norm, spec.qkv_bias, spec.tied, spec.rope_type) == (True, False, False, "yarn")
    assert len(spec.rope_frequencies) == 8
    assert spec.rope_magnitude > 1


def test_every_source_of_end_ids_counts(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, eos_token_id=7)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    model = load_model(str(folder), device="cpu")
    assert load_spec(str(folder)).eos_ids == (7, 9)
    assert model.eos_ids == {7, 9, model.tokenizer.eos_token_id}
    assert model.spec.eos_ids == tuple(sorted(model.eos_ids))
    (folder / "generation_config.json").unlink()
    assert load_spec(str(folder)).eos_ids == (7,)


def test_model_is_frozen_and_in_the_checkpoints_dtype(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    model = load_model(str(folder), device="cpu")
    assert {parameter.dtype for parameter in model.decoder.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in model.decoder.parameters())
    assert model.revision is None
    assert model.chat_template_sha is not None
    assert load_model(str(folder), device="cpu", dtype="float32").decoder.embed.dtype == torch.float32


@pytest.mark.parametrize(
    ("family", "fields", "length"),
    [
        ("mistral", {"sliding_window": 100}, 100),
        ("mistral", {"sliding_window": 4096}, 256),
        ("mistral", {"sliding_window": None}, 256),
        ("qwen2", {"sliding_window": 100}, 256),
        ("qwen2", {"sliding_window": 100, "use_sliding_window": True, "max_window_layers": 1}, 100),
        ("llama", {"rope_parameters": LLAMA3_ROPE}, 256),
    ],
)
def test_longest_exact_sequence(tmp_path: Path, family: str, fields: dict[str, Any], length: int) -> None:
    assert load_spec(str(write_tiny_model(tmp_path, family, **fields))).max_length == length


def test_old_style_rope_scaling(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path, rope_parameters=LLAMA3_ROPE)
    expected = load_spec(str(folder))
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    (folder / "config.json").write_text(json.dumps(config))
    assert load_spec(str(folder)) == expected
    assert expected.rope_type == "llama3"
