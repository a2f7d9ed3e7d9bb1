"""The subject of a contract check: a backend under one choice of settings, its masked reference, and random inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import Backend
from hyperscale.model.spec import GateSpec

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


def weights(q_hd: Array, k_skd: Array, seen_sk: NDArray[np.bool_], group: int) -> Array:
    """Compute w_hs: softmax over the tokens that each head's KV head sees."""
    w_hs = np.zeros((len(q_hd), len(k_skd)))
    for h, q_d in enumerate(q_hd):
        seen = np.flatnonzero(seen_sk[:, h // group])
        scores = k_skd[seen, h // group] @ q_d / np.sqrt(len(q_d))
        powers = np.exp(scores - scores.max())
        w_hs[h, seen] = powers / powers.sum()
    return w_hs


def mix(w_hs: Array, v_skd: Array, group: int) -> Array:
    """Compute out_hd: each head's weights on the values of its KV head."""
    return np.stack([w_s @ v_skd[:, h // group] for h, w_s in enumerate(w_hs)])


class MaskedReference:
    """Reference that keeps and attends all tokens; a subclass removes evicted positions from `held`.

    Tokens are never deleted: `k_skd` and `v_skd` have all of them by position, and `held` masks them. After each query
    `w_hs` has the attention weights of the heads over all s positions. See `Reference` for the contract.
    """

    def __init__(self, kv_heads: int, group: int, budget: int | None, settings: Any, key: int) -> None:
        self.kv_heads, self.group, self.budget, self.settings, self.key = kv_heads, group, budget, settings, key
        self.layer = 0
        self.margin = np.inf
        self.k_skd: Array = np.empty((0, kv_heads, 0))
        self.v_skd: Array = np.empty((0, kv_heads, 0))
        self.held: list[set[int]] = [set() for _ in range(kv_heads)]
        self.attended = [0] * kv_heads

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        """Attend a prompt, token by token. Returns out_thd."""
        out = []
        for t, q_hd in enumerate(q_thd):
            self.store(k_tkd[t], v_tkd[t])
            out.append(self.attend(q_hd))
        return np.stack(out)

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        """Store one more token and attend. Returns out_hd."""
        self.store(k_kd, v_kd)
        return self.attend(q_hd)

    def store(self, k_kd: Array, v_kd: Array) -> None:
        """Hold a token in every KV head."""
        for held in self.held:
            held.add(len(self.k_skd))
        self.k_skd = np.concatenate([self.k_skd.reshape(-1, *k_kd.shape), k_kd[None]])
        self.v_skd = np.concatenate([self.v_skd.reshape(-1, *v_kd.shape), v_kd[None]])

    def attend(self, q_hd: Array) -> Array:
        """Attend all held tokens, and record weights and counts. Returns out_hd."""
        seen_sk = np.zeros((len(self.k_skd), self.kv_heads), np.bool_)
        for head, held in enumerate(self.held):
            seen_sk[sorted(held), head] = True
        self.attended = [len(held) for held in self.held]
        self.w_hs = weights(q_hd, self.k_skd, seen_sk, self.group)
        return mix(self.w_hs, self.v_skd, self.group)
