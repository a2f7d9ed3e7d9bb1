"""Checkpoint tensors to the decoder's fused parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hyperscale.model.decoder import Decoder
from hyperscale.model.spec import ModelSpec

_HASHED_VALUES = 64


class Span(NamedTuple):
    """Rows [start, stop) of a decoder parameter that hold one checkpoint tensor."""

    parameter: str
    start: int
    stop: int


def spans(spec: ModelSpec) -> dict[str, Span]:
    """Map checkpoint names to spans, for every tensor that a checkpoint of this spec must hold."""
    queries, keys = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    attention = {
        "q_proj": (0, queries),
        "k_proj": (queries, queries + keys),
        "v_proj": (queries + keys, queries + 2 * keys),
    }
    ffn = {"gate_proj": (0, spec.ffn), "up_proj": (spec.ffn, 2 * spec.ffn)}
    found = {
        "model.embed_tokens.weight": Span("embed", 0, spec.vocab),
        "model.norm.weight": Span("norm", 0, spec.hidden),
    }
    if not spec.tied:
        found["lm_head.weight"] = Span("unembed", 0, spec.vocab)
    linears = [
        *((f"self_attn.{name}", "qkv", rows, spec.qkv_bias) for name, rows in attention.items()),
        ("self_attn.o_proj", "out", (0, spec.hidden), spec.out_bias),
        *((f"mlp.{name}", "gate_up", rows, spec.ffn_bias) for name, rows in ffn.items()),
        ("mlp.down_proj", "down", (0, spec.hidden), spec.ffn_bias),
    ]
    norms = [
        ("input_layernorm", "attn_norm", spec.hidden),
        ("post_attention_layernorm", "ffn_norm", spec.hidden),
    ]
    if spec.qk_norm:
        norms += [
            ("self_attn.q_norm", "q_norm", spec.head_dim),
            ("self_attn.k_norm", "k_norm", spec.head_dim),
        ]
    # NVIDIA's names (Model-Optimizer's experimental/dms); our gates.safetensors uses them, too.
    if spec.gates is not None and spec.gates.learned:
        linears.append(("self_attn.dms_proj_alpha", "gate.projection", (0, spec.kv_heads), spec.gates.linear_bias))
    if spec.gates is not None and spec.gates.form == "separate":
        norms.append(("self_attn.dms_proj_alpha_norm", "gate.norm", spec.hidden))
    for index in range(spec.layers):
        theirs, ours = f"model.layers.{index}", f"layers.{index}"
        for module, parameter, rows, bias in linears:
            found[f"{theirs}.{module}.weight"] = Span(f"{ours}.{parameter}", *rows)
            if bias:
                found[f"{theirs}.{module}.bias"] = Span(f"{ours}.{parameter}_bias", *rows)
        for module, parameter, size in norms:
            found[f"{theirs}.{module}.weight"] = Span(f"{ours}.{parameter}", 0, size)
    return found


_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@torch.no_grad()
def fill(decoder: Decoder, tensors: Iterable[tuple[str, Tensor]], origin: str) -> None:
    """Copy every tensor into its span, converted to the parameter's dtype and device.

    Raise ValueError if a tensor is missing, unknown to this architecture, or of another shape or kind of number.
    """
    missing = spans(decoder.spec)
    stored_head: Tensor | None = None
    for name, tensor in tensors:
        span = missing.pop(name, None)
        if span is None:
            if name == "lm_head.weight" and decoder.spec.tied:
                stored_head = tensor
            elif not name.endswith("rotary_emb.inv_freq"):
                raise ValueError(f"{origin}: tensor {name} does not belong to the model that its config describes.")
            continue
        target = decoder.get_parameter(span.parameter)[span.start : span.stop]
        if target.shape != tensor.shape:
            raise ValueError(
                f"{origin}: tensor {name} has shape {tuple(tensor.shape)}; its config asks for {tuple(target.shape)}."
            )
        if tensor.dtype not in _DTYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"{origin}: tensor {name} holds {kind}; expected 16, 32 or 64 bit floats.")
        if ".gate." in span.parameter and not tensor.isfinite().all():
            # A comparison with NaN is false: such a gate would silently keep every token.
            raise ValueError(f"{origin}: tensor {name} holds numbers that are not finite.")
        target.copy_(tensor)
    if missing:
        raise ValueError(
            f"{origin}: {len(missing)} tensors are missing, such as {next(iter(missing))}. "
            "The checkpoint is incomplete or has another layout."
        )
    if stored_head is not None and not torch.equal(stored_head.to(decoder.embed), decoder.embed):
        raise ValueError(
            f"{origin}: the config ties lm_head to the embedding, but the checkpoint holds another "
            "lm_head.weight. Set tie_word_embeddings to false in config.json."
        )


def weights_sha(decoder: nn.Module) -> str:
    """Hash a few values of every weight to 16 hex digits, to tell a retrained checkpoint from the one it replaced."""
    digest = hashlib.sha256()
    for weight in decoder.parameters():
        flat = weight.detach().flatten()
        digest.update(flat[:: max(1, len(flat) // _HASHED_VALUES)].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
