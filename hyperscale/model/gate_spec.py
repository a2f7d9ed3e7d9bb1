"""Gates as checkpoints declare them: NVIDIA's two layouts of DMS, and our own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

FORMS = ("separate", "linear", "borrowed", "dmc")
GATES = "gates.json"
"""File in a checkpoint's folder that holds the fields of a `GateSpec`."""
KEY = "hyperscale_gates"
"""Where config.json holds them, if that file is not there."""


@dataclass(frozen=True)
class GateSpec:
    """How a checkpoint decides which tokens to give up: for each token and KV head a logit, yes iff above 0.

    logit = scale * raw + bias, where raw is, by `form`:

    - separate: RMSNorm and Linear(hidden -> KV heads) of the residual stream before the attention's norm;
    - linear: Linear(hidden -> KV heads) of the attention's input, that is after its norm;
    - borrowed: a dimension of the first query head of each group, after q_norm, before RoPE;
    - dmc: the last dimension of the key, likewise; that of the group's queries, on average, is the importance.

    A borrowed component takes no part in attention: it is 0 before and after RoPE. So the model was trained, and so it
    stays under backends that ask for no decisions.
    """

    form: str
    scale: float = 100.0
    bias: float = -5.0
    borrowed_dim: int = -1
    """0 or -1: the paper's neuron or the released checkpoints'."""
    linear_bias: bool = False
    """Whether the Linear has a bias of its own."""
    per_layer: bool = False
    """Whether the first KV head's decision holds for all of its layer."""
    window: int = 256
    """Tokens that a decision waits for: a token is seen by every query at most so far behind it."""
    decision_shift: int = 1
    """1: a token's fate is decided by the token after it; 0: by itself."""
    immediate: bool = False
    """Whether they were trained to decide a token's fate only when it leaves the window (the paper's ablation)."""
    ratio: float | None = None
    """Nominal compression ratio. No result depends on it: only how many threads are begun together."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"gates: form {self.form!r}; known: {', '.join(FORMS)}")
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
    """Gates that a config.json declares in NVIDIA's keys or under ours; None if it declares none.

    ValueError if a declaration is not valid.
    """
    if KEY in config:
        return gates_from_fields(config[KEY])
    if any(key.startswith("dms_") for key in config):
        return _nvidia(config)
    return None


def gates_from_fields(declared: object) -> GateSpec:
    """Our own layout: the fields of `GateSpec` by name."""
    if not isinstance(declared, dict) or "form" not in declared:
        raise ValueError(f"gates: an object with a form is expected, not {declared!r}")
    known = {field.name for field in fields(GateSpec)}
    if unknown := sorted(set(declared) - known):
        raise ValueError(f"gates: unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    defaults: dict[str, Any] = {"scale": 1.0} if declared["form"] == "dmc" else {}
    return GateSpec(**defaults | declared)


def _nvidia(config: Mapping[str, Any]) -> GateSpec:
    """Keys and defaults of nvidia/Qwen3-8B-DMS-8x and of Model-Optimizer's experimental/dms.

    The former knows the borrowed neuron only, and none of the keys that choose. `dms_disable_eviction` is not looked
    at: what is evicted is the backend's to say.
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
    # Every whole number is finite, and one beyond the range of floats is none that a gate can use.
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max
