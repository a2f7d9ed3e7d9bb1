"""What a checkpoint declares: a decoder's shapes, its family's switches and rotary frequencies, and its gates."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FORMS = ("separate", "linear", "borrowed", "dmc")
GATES = "gates.json"
"""File in a checkpoint's folder that holds the fields of a `GateSpec`."""
KEY = "hyperscale_gates"
"""Key of config.json that holds them if there is no gates.json."""

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True)
class GateSpec:
    """Gates of a checkpoint: one logit per token and KV head; the token is evicted (DMS) or merged (DMC) iff above 0.

    logit = scale * raw + bias, where raw is, by `form`:

    - separate: RMSNorm and Linear(hidden -> KV heads) of the residual stream before the attention's norm;
    - linear: Linear(hidden -> KV heads) of the attention's input, that is after its norm;
    - borrowed: a dimension of the first query head of each group, after q_norm, before RoPE;
    - dmc: the last dimension of the key, after k_norm, before RoPE; that of the group's queries, averaged, is the
      importance.

    A borrowed component takes no part in attention: it is 0 before and after RoPE, as in training, under every backend.
    """

    form: str
    scale: float = 100.0
    bias: float = -5.0
    borrowed_dim: int = -1
    """0 in the paper, -1 in the released checkpoints."""
    linear_bias: bool = False
    """Whether the Linear has a bias of its own."""
    per_layer: bool = False
    """Whether the first KV head decides for its whole layer."""
    window: int = 256
    """Sliding window in tokens: every query up to this many tokens later still attends a token."""
    decision_shift: int = 1
    """1: the next token decides a token's eviction; 0: the token itself."""
    immediate: bool = False
    """Whether eviction is decided when a token leaves the window (the paper's ablation)."""
    ratio: float | None = None
    """Nominal compression ratio; affects the batch size alone, no result."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"gates: form must be one of {', '.join(FORMS)}, not {self.form!r}")
        for name in ("scale", "bias"):
            if not _is_finite(getattr(self, name)):
                raise ValueError(f"gates: {name} must be a finite number, not {getattr(self, name)!r}")
        for name in ("linear_bias", "per_layer", "immediate"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"gates: {name} must be true or false, not {getattr(self, name)!r}")
        if not _is_whole(self.window) or self.window < 0:
            raise ValueError(f"gates: window must be a whole number of tokens, not {self.window!r}")
        if not _is_whole(self.decision_shift) or self.decision_shift not in (0, 1):
            raise ValueError(f"gates: decision_shift must be 0 or 1, not {self.decision_shift!r}")
        if not _is_whole(self.borrowed_dim) or self.borrowed_dim not in (0, -1):
            raise ValueError(f"gates: borrowed_dim must be 0 or -1, not {self.borrowed_dim!r}")
        if self.ratio is not None and not (_is_finite(self.ratio) and self.ratio >= 1):
            raise ValueError(f"gates: ratio must be a number of 1 or more, not {self.ratio!r}")

    @property
    def learned(self) -> bool:
        """Whether the gates have tensors of their own."""
        return self.form in ("separate", "linear")


def gates_from_config(config: Mapping[str, Any]) -> GateSpec | None:
    """Read the gates that a config.json declares under NVIDIA's keys or ours; None if it declares none.

    Raise ValueError if a declaration is invalid.
    """
    if KEY in config:
        return gates_from_fields(config[KEY])
    if any(key.startswith("dms_") for key in config):
        return _nvidia(config)
    return None


def gates_from_fields(declared: object) -> GateSpec:
    """Read our layout, the fields of `GateSpec` by name; ValueError if it is invalid."""
    if not isinstance(declared, dict) or "form" not in declared:
        raise ValueError(f"gates: expected an object with a form, not {declared!r}")
    known = {field.name for field in fields(GateSpec)}
    if unknown := sorted(set(declared) - known):
        raise ValueError(f"gates: unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    defaults: dict[str, Any] = {"scale": 1.0} if declared["form"] == "dmc" else {}
    return GateSpec(**defaults | declared)


def _nvidia(config: Mapping[str, Any]) -> GateSpec:
    """Read the keys and defaults of nvidia/Qwen3-8B-DMS-8x and of Model-Optimizer's experimental/dms.

    The former has the borrowed neuron only and none of the keys that choose a form. `dms_disable_eviction` is ignored:
    eviction is the backend's decision.
    """
    per = config.get("dms_alpha_per", "head")
    if per not in ("head", "layer"):
        raise ValueError(f"config.json: dms_alpha_per must be head or layer, not {per!r}")
    offset = config.get("dms_initial_alpha_offset", 5.0)
    if not _is_finite(offset):
        raise ValueError(f"config.json: dms_initial_alpha_offset must be a finite number, not {offset!r}")
    separate = config.get("dms_separate_alpha", False)
    if not isinstance(separate, bool):
        raise ValueError(f"config.json: dms_separate_alpha must be true or false, not {separate!r}")
    return GateSpec(
        form="separate" if separate else "borrowed",
        scale=config.get("dms_alpha_scale", 100.0),
        bias=-offset,
        linear_bias=separate and bool(config.get("attention_bias", False)),
        per_layer=per == "layer",
        window=config.get("dms_window_size", 512),
        ratio=config.get("dms_cr"),
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    # An int beyond the range of floats is finite, but no gate can use it.
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


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
