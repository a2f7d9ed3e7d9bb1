"""Subjects of the contract that follow gates: random decisions, as a decoder would pass them on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hyperscale.backends.dms import DMSSettings
from hyperscale.model.spec import GateSpec
from hyperscale.testing.subject import Extra, Shape, Subject
from tests.backends.subjects import subject

Array = NDArray[np.float32]
HEAD_DIM = Shape().head_dim


def evictions(rate: float) -> Extra:
    """Logits of DMS, of which a share of `rate` is above 0."""

    def make(rng: np.random.Generator, tokens: int, kv_heads: int) -> tuple[Array, ...]:
        return (_decisions(rng, rate, tokens, kv_heads),)

    return make


def merges(rate: float) -> Extra:
    """Outputs of a gate of form "dmc". Keys before RoPE are none of the bench's, to tell them apart."""

    def make(rng: np.random.Generator, tokens: int, kv_heads: int) -> tuple[Array, ...]:
        angles = rng.uniform(0, 6, (tokens, 1, HEAD_DIM // 2))
        return (
            _decisions(rng, rate, tokens, kv_heads),
            (3 * rng.standard_normal((tokens, kv_heads))).astype(np.float32),
            rng.standard_normal((tokens, kv_heads, HEAD_DIM)).astype(np.float32),
            np.concatenate([np.cos(angles), np.cos(angles)], -1).astype(np.float32),
            np.concatenate([-np.sin(angles), np.sin(angles)], -1).astype(np.float32),
        )

    return make


def _decisions(rng: np.random.Generator, rate: float, tokens: int, kv_heads: int) -> Array:
    logits = rng.exponential(4, (tokens, kv_heads)) + 1e-3
    return np.where(rng.random(logits.shape) < rate, logits, -logits).astype(np.float32)


def dms(rate: float, settings: DMSSettings, gates: GateSpec | None = None) -> Subject:
    gates = gates or GateSpec("separate")
    return subject("dms", settings, extra=evictions(rate), keeping=evictions(0), gates=gates)


SUBJECTS = [
    dms(0.8, DMSSettings(window=16, decision_shift=1)),
    dms(0.5, DMSSettings(window=0, decision_shift=1)),
    dms(1.0, DMSSettings(window=1, decision_shift=0)),
    dms(0.7, DMSSettings(window=5, decision_shift=1, immediate=True)),
    subject("dmc", extra=merges(0.6), keeping=merges(0), gates=GateSpec("dmc", scale=1), stores_keys=False),
]
