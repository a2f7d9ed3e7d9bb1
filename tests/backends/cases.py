"""What the contract of a backend is tried on: cases (a backend and its settings), sizes, random inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.model.gate_spec import GateSpec

Extra = Callable[[np.random.Generator, int, int], tuple[NDArray[np.float32], ...]]


def no_extra(rng: np.random.Generator, tokens: int, kv_heads: int) -> tuple[NDArray[np.float32], ...]:
    return ()


@dataclass(frozen=True)
class Case:
    """A backend under one choice of its settings."""

    backend: str
    settings: Any = None
    budgets: tuple[int | None, ...] = (None,)
    """B in tokens a row; (None,) for a policy without a budget."""
    extra: Extra = no_extra
    """Of one layer: what the decoder passes beyond q, k, v, as arrays whose first axis is the token."""
    keeping: Extra | None = None
    """Extras under which nothing is ever given up, for a policy without a budget."""
    stores_keys: bool = True
    """Whether what a row holds are the tokens' own keys and values."""
    gates: GateSpec | None = None
    """The checkpoint's, for a policy that needs some."""
    longest_prompt: int = 60

    def __str__(self) -> str:
        """The backend with the settings that are not its defaults."""
        chosen = [] if self.settings is None else fields(self.settings)
        changed = [
            f"{x.name}={getattr(self.settings, x.name)}" for x in chosen if getattr(self.settings, x.name) != x.default
        ]
        return ",".join([self.backend, *changed])


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
    """All that a sequence will be fed: q_ltHd, k_ltkd, v_ltkd and each layer's extras."""

    q: Tensor
    k: Tensor
    v: Tensor
    extra: list[tuple[Tensor, ...]]

    def at(self, layer: int, tokens: slice) -> list[Tensor]:
        return [self.q[layer, tokens], self.k[layer, tokens], self.v[layer, tokens]] + [
            x[tokens] for x in self.extra[layer]
        ]

    def continued(self, start: int, other: Inputs) -> Inputs:
        """These up to `start`, the others' from there."""
        mine, theirs = (self.q, self.k, self.v), (other.q, other.k, other.v)
        q, k, v = (torch.cat([a[:, :start], b[:, start:]], dim=1) for a, b in zip(mine, theirs, strict=True))
        extra = [
            tuple(torch.cat([a[:start], b[start:]]) for a, b in zip(*both, strict=True))
            for both in zip(self.extra, other.extra, strict=True)
        ]
        return Inputs(q, k, v, extra)


def random_inputs(case: Case, shape: Shape, rng: np.random.Generator, extra: Extra | None = None) -> Inputs:
    heads = shape.kv_heads * shape.group

    def normal(of: int, spread: float) -> Tensor:
        x = spread * rng.standard_normal((shape.layers, shape.max_length, of, shape.head_dim))
        return torch.from_numpy(x.astype(np.float32)).to(shape.dtype)

    make = extra or case.extra
    extras = [
        tuple(torch.from_numpy(x) for x in make(rng, shape.max_length, shape.kv_heads)) for _ in range(shape.layers)
    ]
    return Inputs(normal(heads, 1.5), normal(shape.kv_heads, 1.0), normal(shape.kv_heads, 1.0), extras)
