"""Frontier and gain straight from their definitions: quadratic, sampled, plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Point = tuple[float, float]
"""(cost, accuracy)."""


def dominates(p: Point, q: Point) -> bool:
    return p[0] <= q[0] and p[1] >= q[1] and (p[0] < q[0] or p[1] > q[1])


def frontier(points: Sequence[Point]) -> list[int]:
    """Cheaper and more accurate is better; of equal points the first."""
    kept = []
    for i, p in enumerate(points):
        if not (math.isfinite(p[0]) and math.isfinite(p[1])):
            continue
        rivals = [q for q in points if math.isfinite(q[0]) and math.isfinite(q[1])]
        if not any(dominates(q, p) for q in rivals) and p not in list(points[:i]):
            kept.append(i)
    return sorted(kept, key=lambda i: points[i][0])


def value_at(curve: Sequence[Point], x: float) -> float:
    """Straight lines between neighbours of a curve sorted by x."""
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    raise AssertionError(f"{x} is not on the curve")


def attained_at(curve: Sequence[Point], x: float) -> float:
    """The best accuracy of the points that cost at most x."""
    return max(y for cost, y in curve if cost <= x)


def gain(
    a: Sequence[Point],
    b: Sequence[Point],
    scale: Callable[[float], float] = lambda x: x,
    steps: int = 4000,
    value: Callable[[Sequence[Point], float], float] = value_at,
    within: tuple[float, float] | None = None,
) -> float | None:
    """Mean of A(x) - B(x) over `steps` midpoints of the common budgets; None where there are none.

    `within` (scaled) replaces their end, and bounds their beginning: beyond its last point a curve stays level.
    """
    curves = [[(scale(p[i][0]), p[i][1]) for i in frontier(p)] for p in (a, b)]
    if not all(curves):
        return None
    low = max(curve[0][0] for curve in curves)
    high = min(curve[-1][0] for curve in curves)
    if within is not None:
        low, high = max(low, within[0]), within[1]
        curves = [[*curve, (max(high, curve[-1][0]) + 1, curve[-1][1])] for curve in curves]
    if high <= low:
        return None
    total = 0.0
    for step in range(steps):
        x = low + (high - low) * (step + 0.5) / steps
        total += value(curves[0], x) - value(curves[1], x)
    return total / steps
