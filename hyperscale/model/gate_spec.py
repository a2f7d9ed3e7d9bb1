"""Gate declarations in checkpoints: NVIDIA's two DMS layouts, and ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

FORMS = ("separate", "linear", "borrowed", "dmc")
GATES = "gates.json"
"""File in a checkpoint's folder that holds the fields of a `GateSpec`."""
KEY = "hyperscale_gates"
"""Key of config.json that holds them if there is no gates.json."""


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
