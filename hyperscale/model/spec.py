"""ModelSpec: a decoder's shapes, its family's switches and its rotary frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyperscale.model.gate_spec import GateSpec

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True)
class ModelSpec:
    """Shapes and switches of a decoder. Lengths are in tokens, sizes in numbers."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    norm_eps: float
    rope_type: str
    rope_frequencies: tuple[float, ...]
    """Radians per token of the head_dim / 2 rotated pairs, scaling included."""
    rope_magnitude: float
    """Factor on cos and sin; 1 except for yarn."""
    tied: bool
    qkv_bias: bool
    out_bias: bool
    ffn_bias: bool
    qk_norm: bool
    max_length: int
    """Longest sequence computed exactly: the trained positions, or a shorter sliding window."""
    eos_ids: tuple[int, ...]
    gates: GateSpec | None = None
    """Gates of a DMS or DMC checkpoint; None without."""


def supported() -> str:
    """Return a sentence that lists the supported models, for refusals."""
    return f"Supported: {', '.join(FAMILIES)}, dense, with rotary scaling {', '.join(ROPE_TYPES)}."


def id_set(*ids: int | list[int] | None) -> tuple[int, ...]:
    """Return the sorted union of token ids, each given as one id, a list of ids, or None."""
    found: set[int] = set()
    for entry in ids:
        found.update(entry if isinstance(entry, list) else [] if entry is None else [entry])
    return tuple(sorted(found))


def spec_from_config(config: PretrainedConfig, extra_eos: int | list[int] | None = None) -> ModelSpec:
    """Make the spec of a transformers config; ValueError names the first feature that the decoder does not compute."""
    family = config.model_type
    if family not in FAMILIES:
        raise ValueError(f"Unsupported architecture {family!r}. {supported()}")
    if config.hidden_act not in ("silu", "swish"):
        raise ValueError(
            f"Unsupported activation {config.hidden_act!r} ({family}): only silu is computed. {supported()}"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(
            "The checkpoint's weights are quantized (its config has quantization_config). "
            "Use the unquantized checkpoint, or a .gguf file, which is dequantized on loading."
        )
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    if heads % kv_heads or head_dim % 2:
        raise ValueError(
            f"Inconsistent config: {heads} attention heads must be a multiple of {kv_heads} KV heads, "
            f"and the head dimension ({head_dim}) even."
        )
    rope_type, frequencies, magnitude = _rope(config, head_dim)
    attention_bias = getattr(config, "attention_bias", False)
    window = getattr(config, "sliding_window", None)
    return ModelSpec(
        family=family,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=config.intermediate_size,
        vocab=config.vocab_size,
        norm_eps=config.rms_norm_eps,
        rope_type=rope_type,
        rope_frequencies=frequencies,
        rope_magnitude=magnitude,
        tied=config.tie_word_embeddings,
        qkv_bias=attention_bias or family == "qwen2",
        out_bias=attention_bias,
        ffn_bias=getattr(config, "mlp_bias", False),
        qk_norm=family == "qwen3",
        max_length=min(config.max_position_embeddings, window or config.max_position_embeddings),
        eos_ids=id_set(config.eos_token_id, extra_eos),
    )


def _rope(config: PretrainedConfig, head_dim: int) -> tuple[str, tuple[float, ...], float]:
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    parameters = config.rope_parameters
    rope_type = parameters["rope_type"]
    if rope_type not in ROPE_TYPES:
        raise ValueError(f"Unsupported rotary scaling {rope_type!r} ({config.model_type}). {supported()}")
    if (parameters.get("partial_rotary_factor") or 1.0) != 1.0:
        raise ValueError(f"Unsupported partial_rotary_factor: every dimension of a head is rotated. {supported()}")
    if rope_type != "default":
        frequencies, magnitude = ROPE_INIT_FUNCTIONS[rope_type](config, device=torch.device("cpu"))
        return rope_type, tuple(frequencies.tolist()), float(magnitude)
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float) / head_dim
    return rope_type, tuple((1.0 / parameters["rope_theta"] ** exponents).tolist()), 1.0
