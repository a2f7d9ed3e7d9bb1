"""A Qwen3 with gates, the whole sequence at once in double precision, read straight from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.reference import cache_dmc, cache_dms

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GatedQwen3:
    """`form` as in `GateSpec`; `evicts` False computes attention in full, on the same weights."""

    folder: Path
    form: str
    scale: float = 100.0
    bias: float = -5.0
    dim: int = -1
    per_layer: bool = False
    window: int = 16
    shift: int = 1
    immediate: bool = False
    evicts: bool = True

    def __call__(self, tokens: list[int]) -> tuple[Array, list[Array], list[int]]:
        """logits_tv, each layer's decision logits_tk, and KV tokens attended by the last query, row by row."""
        config = json.loads((self.folder / "config.json").read_text())
        files = self.folder.glob("*.safetensors")
        w = {name: x.astype(np.float64) for path in files for name, x in load_file(path).items()}
        heads, kv_heads, eps = config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
        d, group = config["head_dim"], heads // kv_heads
        theta = config["rope_parameters"]["rope_theta"]
        angles = np.arange(len(tokens))[:, None] / theta ** (np.arange(0, d, 2) / d)
        cos = np.concatenate([np.cos(angles)] * 2, -1)[:, None]
        sin = np.concatenate([-np.sin(angles), np.sin(angles)], -1)[:, None]

        def norm(x: Array, name: str) -> Array:
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * w[f"{name}.weight"]

        def linear(x: Array, name: str) -> Array:
            y: Array = x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)
            return y

        def rotate(x: Array) -> Array:
            return x * cos + np.roll(x, d // 2, -1) * sin

        x = w["model.embed_tokens.weight"][tokens]
        decisions, attended = [], []
        for i in range(config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            att = f"{layer}.self_attn"
            normed = norm(x, f"{layer}.input_layernorm")
            q, k, v = (linear(normed, f"{att}.{name}_proj").reshape(len(x), -1, d) for name in "qkv")
            q, k = norm(q, f"{att}.q_norm"), norm(k, f"{att}.k_norm")
            importance = k[..., -1]
            muted: tuple[slice, int] | None = None
            if self.form == "separate":
                raw = linear(norm(x, f"{att}.dms_proj_alpha_norm"), f"{att}.dms_proj_alpha")
            elif self.form == "linear":
                raw = linear(normed, f"{att}.dms_proj_alpha")
            elif self.form == "borrowed":
                raw, muted = q[:, ::group, self.dim].copy(), (slice(0, None, group), self.dim)
            else:
                raw, muted = k[..., -1].copy(), (slice(None), -1)
                importance = q[..., -1].reshape(len(x), kv_heads, group).mean(-1) - self.bias
            logits = self.scale * (np.repeat(raw[:, :1], kv_heads, 1) if self.per_layer else raw) + self.bias
            decisions.append(logits)
            if muted:
                q[(slice(None), *muted)] = 0
            if self.form == "dmc":
                k[..., -1] = 0
            unrotated, q, k = k, rotate(q), rotate(k)
            if muted:
                q[(slice(None), *muted)] = 0
            if self.form == "dmc":
                k[..., -1] = 0
            if not self.evicts:
                logits = np.full_like(logits, -1.0)
            settings = SimpleNamespace(window=self.window, decision_shift=self.shift, immediate=self.immediate)
            policy = cache_dmc.Reference if self.form == "dmc" else cache_dms.Reference
            cache = policy(kv_heads, group, None, settings, 0)
            out = cache.prefill(q, k, v, logits, importance, unrotated, cos, sin)
            attended += cache.attended
            x = x + linear(out.reshape(len(x), -1), f"{att}.o_proj")
            normed = norm(x, f"{layer}.post_attention_layernorm")
            gate, up = linear(normed, f"{layer}.mlp.gate_proj"), linear(normed, f"{layer}.mlp.up_proj")
            x = x + linear(gate / (1 + np.exp(-gate)) * up, f"{layer}.mlp.down_proj")
        return norm(x, "model.norm") @ w["lm_head.weight"].T, decisions, attended
