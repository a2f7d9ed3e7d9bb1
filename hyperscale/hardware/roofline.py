"""Roofline: the least time of a decode step, its FLOPs at the device's peak or its traffic at its bandwidth.

Paper, Appendix I, with two printed slips corrected (docs/roofline.md): Eq. 3 needs 4 d d_kv where 4 d d_ff is printed,
and Llama-3.1-8B takes 1.50e10 FLOPs per token, not 1.45e9. Norms, biases and the embedding's lookup are left out, as
in the paper. Devices and their peaks: `devices.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hyperscale.hardware.devices import Device, number_bytes

if TYPE_CHECKING:
    from hyperscale.model.spec import ModelSpec


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder that its roofline depends on. Widths are in numbers."""

    layers: int
    hidden: int
    q_dim: int
    """Width of all query heads together; may differ from `hidden`."""
    kv_dim: int
    """Width of all KV heads together."""
    ffn: int
    vocab: int
    tied: bool
    """Whether the unembedding is the embedding."""
    number_bytes: int
    """Bytes of a weight and of a number in the KV cache."""

    @property
    def layer_numbers(self) -> int:
        """Weights of a layer: the projections of q, k, v and o, and the three matrices of the FFN."""
        return self.hidden * (2 * self.q_dim + 2 * self.kv_dim + 3 * self.ffn)

    @property
    def head_flops(self) -> int:
        """FLOPs of the unembedding of one token."""
        return 2 * self.hidden * self.vocab

    @property
    def token_flops(self) -> int:
        """FLOPs to feed a token, two per weight; attention over the cache not counted."""
        return 2 * self.layers * self.layer_numbers + self.head_flops

    @property
    def read_flops(self) -> int:
        """FLOPs of attending one KV token in every layer: its share of q k^T and of the weighted sum of values."""
        return 4 * self.q_dim * self.layers

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights read by a decode step, for any number of threads."""
        return (self.layers * self.layer_numbers + self.hidden * self.vocab) * self.number_bytes

    @property
    def stored_bytes(self) -> int:
        """Bytes of weights in memory, an untied embedding included; a step reads one of its rows per thread."""
        own = 0 if self.tied else self.hidden * self.vocab * self.number_bytes
        return self.weight_bytes + own

    @property
    def kv_bytes(self) -> int:
        """Bytes of one KV token in every layer."""
        return 2 * self.kv_dim * self.layers * self.number_bytes


def shape_of(spec: ModelSpec, dtype: str) -> Shape:
    """Return the shape of a model whose weights and KV cache are float32, bfloat16 or float16."""
    return Shape(
        spec.layers, spec.hidden, spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim, spec.ffn, spec.vocab,
        spec.tied, number_bytes(dtype),
    )  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A decode step of `batch` threads that attend `context / ratio` KV tokens each (paper, Figure 9)."""

    shape: Shape
    batch: float
    context: float
    """L in tokens."""
    ratio: float = 1.0
    """CR, the divisor of L."""

    @property
    def flops(self) -> float:
        """FLOPs of the step (paper, Eq. 2)."""
        return self.batch * (self.shape.token_flops + self.shape.read_flops * self.context / self.ratio)

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights read."""
        return float(self.shape.weight_bytes)

    @property
    def kv_bytes(self) -> float:
        """Bytes of KV cache read."""
        return self.batch * self.shape.kv_bytes * self.context / self.ratio

    def seconds(self, device: Device) -> float:
        """Return the least seconds of the step."""
        return max(self.flops / device.flops, (self.weight_bytes + self.kv_bytes) / device.bandwidth)

    def kv_share(self, device: Device) -> float:
        """Return the share of that latency spent on reading the KV cache (paper, Figure 9)."""
        return self.kv_bytes / device.bandwidth / self.seconds(device)


@dataclass(frozen=True)
class Ceiling:
    """Constants of a model on its devices that bound every decode step; plain floats that samples can carry."""

    weight_bytes: float
    """Bytes of weights read by a decode step, for all threads together."""
    token_flops: float
    """FLOPs to feed a token, attention over the cache not counted."""
    head_flops: float
    """FLOPs of the unembedding among these; only the last token of a prompt needs it."""
    read_flops: float
    """FLOPs of attending one KV token in every layer."""
    peak_flops: float
    """FLOP/s of all devices together."""
    peak_bandwidth: float
    """Bytes/s of all devices together."""


def ceiling(spec: ModelSpec, dtype: str, device: Device, devices: int = 1) -> Ceiling:
    """Return the ceiling of a model stored as `dtype` on `devices` devices that share its layers or heads."""
    shape = shape_of(spec, dtype)
    return Ceiling(
        weight_bytes=float(shape.weight_bytes),
        token_flops=float(shape.token_flops),
        head_flops=float(shape.head_flops),
        read_flops=float(shape.read_flops),
        peak_flops=device.flops * devices,
        peak_bandwidth=device.bandwidth * devices,
    )


def roofline_micros(
    step_reads: NDArray[np.int64] | NDArray[np.float64], threads: float | NDArray[np.int64], token_bytes: float,
    rows: int, ceiling: Ceiling, most: float = math.inf,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the least microseconds of one thread's share of each decode step, if `threads` like it run together.

    `step_reads`: KV tokens read, summed over `rows` = layers x KV heads. `token_bytes`: of a KV token in one row.
    `threads`: per step, or one mean for all. `most`: cap on the KV tokens that a query head attends, for rows whose KV
    head is read for other query heads too.
    """
    # 0 threads is the mean of a chain without steps.
    batch = np.maximum(threads, 1.0)
    reads = np.asarray(step_reads, np.float64)
    compute = (ceiling.token_flops + ceiling.read_flops * np.minimum(reads / rows, most)) / ceiling.peak_flops
    traffic = (ceiling.weight_bytes / batch + reads * token_bytes) / ceiling.peak_bandwidth
    return np.maximum(compute, traffic) * 1e6


def prompt_seconds(prompt_tokens: int, dense: int, token_bytes: float, rows: int, ceiling: Ceiling) -> float:
    """Return the least seconds of a prompt whose first `dense` tokens are prefilled and the rest fed one by one.

    Each token fed is a step of one thread that attends the `dense` tokens its rows hold.
    """
    fed = np.full(max(0, prompt_tokens - dense), dense * rows)
    steps = roofline_micros(fed, 1.0, token_bytes, rows, ceiling)
    return prefill_seconds(min(prompt_tokens, dense), token_bytes, rows, ceiling) + float(steps.sum()) * 1e-6


def prefill_seconds(prompt_tokens: float, token_bytes: float, rows: int, ceiling: Ceiling) -> float:
    """Return the least seconds of prefilling a prompt: causal attention, weights read once, KV written.

    Only the last token needs the unembedding.
    """
    pairs, spared = prompt_tokens * (prompt_tokens + 1) / 2, max(prompt_tokens - 1, 0) * ceiling.head_flops
    flops = prompt_tokens * ceiling.token_flops + pairs * ceiling.read_flops - spared
    traffic = ceiling.weight_bytes + prompt_tokens * rows * token_bytes
    return max(flops / ceiling.peak_flops, traffic / ceiling.peak_bandwidth)
