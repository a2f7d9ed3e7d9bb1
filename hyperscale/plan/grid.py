"""Make W-L points of --budget, or of --widths and --lengths."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from hyperscale.text import format_tokens

Point = tuple[int, int]
"""(width in threads, length in tokens)."""


def budget_grid(budget: int, min_length: int) -> tuple[Point, ...]:
    """Return all powers of two W >= 1 and L >= `min_length` (tokens) with W x L <= `budget` (tokens).

    ValueError where there is none.
    """
    points = [
        (2**w, 2**length)
        for length in range(budget.bit_length())
        for w in range(budget.bit_length())
        if 2**length >= min_length and 2 ** (w + length) <= budget
    ]
    if not points:
        raise ValueError(
            f"--budget {format_tokens(budget)} holds no power of two from --min-length "
            f"{format_tokens(min_length)} on: raise --budget or lower --min-length"
        )
    return tuple(sorted(points))


def product_grid(widths: Iterable[int], lengths: Iterable[int]) -> tuple[Point, ...]:
    """Pair every width with every length."""
    return tuple(sorted(set(product(widths, lengths))))


def length_caps(points: Iterable[Point], pool: int | None = None) -> tuple[int, ...]:
    """Return each thread's cap: the largest L at which a point needs thread i, max { L : (W, L), W > i }.

    With a `pool` every L has that many threads, each capped at the grid's largest L.
    """
    points = list(points)
    if pool is not None:
        return (max(length for _, length in points),) * pool
    widest = max(width for width, _ in points)
    return tuple(max(length for width, length in points if width > thread) for thread in range(widest))
