"""Attention, one query and one key at a time, in double precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def weights(q_d: Sequence[float], keys: Sequence[Sequence[float]]) -> list[float]:
    """softmax(q . k / sqrt(d)) over all keys."""
    scores = [sum(float(a) * float(b) for a, b in zip(q_d, k, strict=True)) / math.sqrt(len(q_d)) for k in keys]
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def mix(weights: Sequence[float], values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The sum of the values, each times its weight."""
    out = np.zeros(len(values[0]))
    for weight, value in zip(weights, values, strict=True):
        out += weight * np.asarray(value, np.float64)
    return out


def attend(
    q_d: Sequence[float], keys: Sequence[Sequence[float]], values: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """softmax(q . k / sqrt(d)) . v over all keys."""
    return mix(weights(q_d, keys), values)
