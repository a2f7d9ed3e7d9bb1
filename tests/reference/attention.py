"""Attention, one query and one key at a time, in double precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def attend(
    q_d: Sequence[float], keys: Sequence[Sequence[float]], values: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """softmax(q . k / sqrt(d)) . v over all keys."""
    scores = [sum(float(a) * float(b) for a, b in zip(q_d, k, strict=True)) / math.sqrt(len(q_d)) for k in keys]
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    out = np.zeros(len(q_d))
    for power, value in zip(powers, values, strict=True):
        out += power / total * np.asarray(value, np.float64)
    return out
