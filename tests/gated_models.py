"""Random tiny Qwen3 checkpoints with gates, in the layouts that are published and in ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.reference.gated_qwen3 import GatedQwen3
from tests.tiny_models import write_tiny_model

WINDOW = 6
# Keys as in nvidia/Qwen3-8B-DMS-8x; the code files are not there, and not asked for.
PUBLISHED = {
    "architectures": ["Qwen3ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_qwen3_dms.Qwen3Config",
        "AutoModelForCausalLM": "modeling_qwen3_dms.Qwen3ForCausalLM",
    },
    "dms_alpha_scale": 100.0,
    "dms_cr": 8,
    "dms_initial_alpha_offset": 5.0,
    "dms_window_size": WINDOW,
}
# Keys as NVIDIA's Model-Optimizer saves them (experimental/dms).
ADAPTER = {
    "auto_map": {
        "AutoConfig": "configuration_qwen3_dms.Qwen3ConfigDMS",
        "AutoModelForCausalLM": "modeling_qwen3_dms.Qwen3ForCausalLMDMS",
    },
    "dms_alpha_per": "head",
    "dms_alpha_scale": 100.0,
    "dms_chunked_prefill": None,
    "dms_cr": 8,
    "dms_disable_eviction": False,
    "dms_initial_alpha_offset": 5.0,
    "dms_manual_inference_mode": False,
    "dms_paged_attention_block_size": 256,
    "dms_preallocate_for_tokens": 4096,
    "dms_separate_alpha": True,
    "dms_tau": 0.1,
    "dms_window_size": WINDOW,
}
LAYOUTS = ("published", "adapter", "adapter-bias", "adapter-layer", "ours-linear", "ours-first", "ours-dmc")


def write_gated_model(folder: Path, layout: str, seed: int = 0) -> GatedQwen3:
    """Write a checkpoint; returns what it computes."""
    bias = layout == "adapter-bias"
    write_tiny_model(folder, "qwen3", seed=seed, attention_bias=bias)
    if layout == "published":
        _edit(folder / "config.json", PUBLISHED)
        return GatedQwen3(folder, "borrowed", window=WINDOW)
    if layout.startswith("adapter"):
        per_layer = layout == "adapter-layer"
        _edit(folder / "config.json", ADAPTER | ({"dms_alpha_per": "layer"} if per_layer else {}))
        path = folder / "model.safetensors"
        save_file(load_file(path) | gate_tensors(seed, norm=True, bias=bias), path)
        return GatedQwen3(folder, "separate", per_layer=per_layer, window=WINDOW)
    if layout == "ours-linear":
        _edit(folder / "config.json", {"hyperscale_gates": {"form": "linear", "scale": 10.0, "window": 3}})
        save_file(gate_tensors(seed, norm=False, bias=False), folder / "gates.safetensors")
        return GatedQwen3(folder, "linear", scale=10.0, window=3)
    if layout == "ours-first":
        fields = {"form": "borrowed", "borrowed_dim": 0, "window": 4, "decision_shift": 0}
        (folder / "gates.json").write_text(json.dumps(fields))
        return GatedQwen3(folder, "borrowed", dim=0, window=4, shift=0)
    assert layout == "ours-dmc"
    (folder / "gates.json").write_text(json.dumps({"form": "dmc", "bias": 0.3}))
    return GatedQwen3(folder, "dmc", scale=1.0, bias=0.3)


def gate_tensors(seed: int, *, norm: bool, bias: bool) -> dict[str, Tensor]:
    """Adapters of the tiny model: 2 layers, hidden size 32, 2 KV heads."""
    generator = torch.Generator().manual_seed(seed + 1)
    tensors = {}
    for layer in range(2):
        name = f"model.layers.{layer}.self_attn.dms_proj_alpha"
        tensors[f"{name}.weight"] = torch.randn(2, 32, generator=generator) / 32**0.5
        if norm:
            tensors[f"{name}_norm.weight"] = 1 + 0.1 * torch.randn(32, generator=generator)
        if bias:
            tensors[f"{name}.bias"] = 0.1 * torch.randn(2, generator=generator)
    return tensors


def _edit(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
