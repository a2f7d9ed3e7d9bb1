"""From --budget or --widths and --lengths to W-L points, and to the fewest tokens that cover them.

One run covers many points. W is read off a pool of threads afterwards, and L wherever the backend does not
know it: a chain cut at L is exactly the chain that a cap of L gives. So each thread is generated once, up to
the largest L at which any point asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from hyperscale.config import SweepConfig
from hyperscale.sizes import format_tokens

Point = tuple[int, int]
"""(width in threads, length in tokens)."""


@dataclass(frozen=True)
class Run:
    """What is generated for each problem of a task: threads under one backend setting, and their points."""

    backend: str
    compression_ratio: float
    cache_budget: int | None
    """KV budget in tokens of a backend whose policy knows L; None where the policy does not."""
    length_caps: tuple[int, ...]
    """Cap on each thread's sequence, in tokens, prompt included; never rising with the thread's index."""
    points: tuple[Point, ...]

    @property
    def max_tokens(self) -> int:
        """Upper bound on tokens of one problem, prompts included."""
        return sum(self.length_caps)

    @property
    def separate_tokens(self) -> int:
        """The same bound if every point were generated on its own."""
        return sum(width * length for width, length in self.points)

    def pool(self, length: int) -> int:
        """Threads that a problem has at L = `length`."""
        return sum(cap >= length for cap in self.length_caps)

    def describe_caps(self) -> str:
        """`1 x 64k, 1 x 32k, 2 x 16k`: threads by cap."""
        counts = Counter(self.length_caps)
        return ", ".join(f"{counts[cap]} x {format_tokens(cap)}" for cap in sorted(counts, reverse=True))


def budget_grid(budget: int, min_length: int) -> tuple[Point, ...]:
    """All powers of two W >= 1 and L >= `min_length` (tokens) with W x L <= `budget` (tokens)."""
    points = [
        (2**w, 2**length)
        for length in range(budget.bit_length())
        for w in range(budget.bit_length())
        if 2**length >= min_length and 2 ** (w + length) <= budget
    ]
    if not points:
        raise ValueError(
            f"--budget {format_tokens(budget)} holds no power of two from --min-length "
            f"{format_tokens(min_length)} on: raise the budget or lower the minimum"
        )
    return tuple(sorted(points))


def product_grid(widths: Iterable[int], lengths: Iterable[int]) -> tuple[Point, ...]:
    """Every width with every length."""
    return tuple(sorted(set(product(widths, lengths))))


def length_caps(points: Iterable[Point], pool: int | None = None) -> tuple[int, ...]:
    """Cap of each thread: the largest L at which a point needs thread i, max { L : (W, L), W > i }.

    With a `pool` every L gets that many threads, so each of them runs to the grid's largest L.
    """
    points = list(points)
    if pool is not None:
        return (max(length for _, length in points),) * pool
    widest = max(width for width, _ in points)
    return tuple(max(length for width, length in points if width > thread) for thread in range(widest))


def plan_runs(config: SweepConfig) -> tuple[Run, ...]:
    """The runs that cover the grid of `config`: one for each backend and ratio, whatever the task.

    A backend whose policy knows L (its budget is B = L / CR) needs a run for each distinct B instead;
    `cache_budget` is the place for it. None of the backends is of that kind so far.
    """
    caps = length_caps(config.grid, config.pool)
    return tuple(
        Run(backend, ratio, None, caps, config.grid)
        for backend in config.backends
        for ratio in ((1.0,) if backend == "vanilla" else config.compression_ratios)
    )
