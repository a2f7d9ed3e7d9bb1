"""The subject of a contract check: a backend under one choice of settings, its reference, and random inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import Backend
from hyperscale.model.gate_spec import GateSpec

Array = NDArray[np.float64]
Extra = Callable[[np.random.Generator, int, int], tuple[NDArray[np.float32], ...]]
"""Map (rng, tokens, kv_heads) to one layer's tensors beyond q, k, v, as arrays whose first axis is the token."""


class Reference(Protocol):
    """A slow, masked model of a policy for one layer of one sequence, in float64: tokens stay, `held` masks them.

    Made as `reference(kv_heads, group, budget, settings, key)`; `MaskedReference`, which keeps every token, is a base
    to subclass. `margin`, if defined, is the least relative gap of any choice so far: below 1e-5, fp32 may choose
    differently, and the sequence is compared no further. A fork is a deep copy with the fork's own `key`.
    """

    key: int
    """The sequence's 64-bit key."""
    layer: int
    """Index of the layer, set by the bench."""
    held: list[set[int]]
    """Per KV head: positions of the tokens held after the last step."""
    attended: list[int]
    """Per KV head: KV tokens attended by the last `decode`."""

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        """Attend the dense part of a prompt. Returns out_thd."""
        ...

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        """Attend one more token. Returns out_hd."""
        ...


MakeReference = Callable[[int, int, int | None, Any, int], Reference]


def no_extra(rng: np.random.Generator, tokens: int, kv_heads: int) -> tuple[NDArray[np.float32], ...]:
    """Add nothing to q, k, v."""
    return ()


@dataclass(frozen=True)
class Subject:
    """A backend under one choice of settings, and its reference."""

    policy: type[Backend]
    reference: MakeReference
    settings: Any = None
    """None: the policy's defaults."""
    budgets: tuple[int | None, ...] = (None,)
    """B in tokens a row; (None,) for a policy without a budget."""
    extra: Extra = no_extra
    """Inputs of a gated policy."""
    keeping: Extra | None = None
    """Inputs under which nothing is ever evicted, for a policy without a budget."""
    stores_keys: bool = True
    """True if rows hold the tokens' own keys and values."""
    gates: GateSpec | None = None
    """The checkpoint's gates, for a policy that needs them."""
    longest_prompt: int = 60

    def __str__(self) -> str:
        """Name the backend with the settings that are not its defaults."""
        chosen = [] if self.settings is None else fields(self.settings)
        changed = [
            f"{x.name}={getattr(self.settings, x.name)}" for x in chosen if getattr(self.settings, x.name) != x.default
        ]
        return ",".join([self.policy.name, *changed])


@dataclass(frozen=True)
class Shape:
    """Sizes of a bench."""

    layers: int = 2
    kv_heads: int = 2
    group: int = 2
    head_dim: int = 8
    seqs: int = 6
    max_length: int = 96
    dtype: torch.dtype = torch.float32


@dataclass
class Inputs:
    """Inputs of a whole sequence: q_lthd, k_ltkd, v_ltkd and each layer's extras."""

    q: Tensor
    k: Tensor
    v: Tensor
    extra: list[tuple[Tensor, ...]]

    def at(self, layer: int, tokens: slice) -> list[Tensor]:
        """Select q, k, v and extras of some tokens of a layer."""
        own = [self.q[layer, tokens], self.k[layer, tokens], self.v[layer, tokens]]
        return own + [x[tokens] for x in self.extra[layer]]

    def continued(self, start: int, other: Inputs) -> Inputs:
        """Join these inputs up to `start` with `other` from there."""
        mine, theirs = (self.q, self.k, self.v), (other.q, other.k, other.v)
        q, k, v = (torch.cat([a[:, :start], b[:, start:]], dim=1) for a, b in zip(mine, theirs, strict=True))
        extra = [
            tuple(torch.cat([a[:start], b[start:]]) for a, b in zip(*both, strict=True))
            for both in zip(self.extra, other.extra, strict=True)
        ]
        return Inputs(q, k, v, extra)


def random_inputs(subject: Subject, shape: Shape, rng: np.random.Generator, extra: Extra | None = None) -> Inputs:
    """Draw inputs of `shape.max_length` tokens."""
    heads = shape.kv_heads * shape.group

    def normal(of: int, spread: float) -> Tensor:
        x = spread * rng.standard_normal((shape.layers, shape.max_length, of, shape.head_dim))
        return torch.from_numpy(x.astype(np.float32)).to(shape.dtype)

    make = extra or subject.extra
    extras = [
        tuple(torch.from_numpy(x) for x in make(rng, shape.max_length, shape.kv_heads)) for _ in range(shape.layers)
    ]
    return Inputs(normal(heads, 1.5), normal(shape.kv_heads, 1.0), normal(shape.kv_heads, 1.0), extras)
