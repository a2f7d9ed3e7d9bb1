"""Sampling by the book: rank all tokens, filter, renormalise, walk the distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence


def draw(
    logits: Sequence[float], uniform: float, temperature: float, top_k: int, top_p: float, min_p: float
) -> tuple[int, set[int]]:
    """The token drawn, and all that could have been."""
    if temperature == 0:
        best = max(range(len(logits)), key=lambda v: (logits[v], -v))
        return best, {best}
    top = max(logits)
    powers = [math.exp((logit - top) / temperature) for logit in logits]
    p = [power / sum(powers) for power in powers]
    ranked = sorted(range(len(p)), key=lambda v: (-p[v], v))
    if top_k:
        ranked = ranked[:top_k]
    total = sum(p[v] for v in ranked)
    nucleus: list[int] = []
    mass = 0.0
    for v in ranked:
        if mass >= top_p * total:
            break
        nucleus.append(v)
        mass += p[v]
    kept = sorted(v for v in nucleus if p[v] >= min_p * max(p) and p[v] > 0)
    target = uniform * sum(p[v] for v in kept)
    cumulative = 0.0
    for v in kept:
        cumulative += p[v]
        if cumulative > target:
            return v, set(kept)
    return kept[-1], set(kept)
