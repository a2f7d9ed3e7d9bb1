"""A run: one backend setting with the caps of its threads, and the W-L points that they cover.

One run covers many points. W is read off subsets of a pool of threads, and L off longer chains wherever the backend
does not know L: a chain truncated at L is exactly the chain that a cap of L gives. So each thread is generated once,
up to the largest L at which any point needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperscale.backends import backend_class, backend_origin
from hyperscale.backends.settings import make_settings
from hyperscale.config import OptionValue
from hyperscale.plugins import Origin, anchored
from hyperscale.text import format_tokens

if TYPE_CHECKING:
    from hyperscale.backends.base import Backend
    from hyperscale.model.spec import ModelSpec

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


@dataclass(frozen=True)
class Run:
    """Threads of each problem of a task under one backend setting, resolved: see `make_run`.

    Two runs are equal where they generate the same. A pickled run does not hold its policy: unpickling looks it up
    again, as another process cannot import the module of a class from a file.
    """

    backend: str
    """Name as in results tables."""
    compression_ratio: float | None
    """Nominal CR; None for a budget-bound backend, where CR = L / B follows from each L."""
    cache_budget: int | None
    """KV budget B in tokens a row, for a budget-bound backend; None elsewhere."""
    length_caps: tuple[int, ...]
    """Cap on each thread's sequence, in tokens, prompt included; never rising with the thread's index."""
    points: tuple[Point, ...]
    options: tuple[tuple[str, OptionValue], ...]
    """The backend's settings that are not its defaults, sorted."""
    policy: type[Backend] = field(compare=False, repr=False)
    settings: Any = field(compare=False, repr=False)
    """`policy.Settings` of the options."""
    source: str = field(compare=False, repr=False)
    """Argument of `backend_class` that finds the policy: its name, or PATH.py:CLASS."""
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """Where a plugin's policy comes from; None of a built-in one."""
    checkpoint: str | None = field(default=None, compare=False)
    """The family's checkpoint that it runs; None where it runs the model itself."""
    spec: ModelSpec | None = field(default=None, compare=False, repr=False)
    """Spec of the checkpoint that it runs; None where the model's config could not be loaded."""

    @property
    def name(self) -> str:
        """Name, as `vanilla`, `dms CR 4` or `tova B 2k`."""
        if self.cache_budget is not None:
            return f"{self.backend} B {format_tokens(self.cache_budget)}"
        return self.backend if self.compression_ratio == 1 else f"{self.backend} CR {self.compression_ratio:g}"

    @property
    def ratios(self) -> tuple[float, ...]:
        """Every CR of its points, ascending."""
        if self.cache_budget is None:
            assert self.compression_ratio is not None
            return (self.compression_ratio,)
        return tuple(sorted({length / self.cache_budget for _, length in self.points}))

    @property
    def max_tokens(self) -> int:
        """Upper bound on tokens of one problem, prompts included."""
        return sum(self.length_caps)

    @property
    def separate_tokens(self) -> int:
        """The same bound if every point were generated separately."""
        return sum(width * length for width, length in self.points)

    @property
    def length_cap(self) -> int:
        """Largest cap of any thread, in tokens."""
        return max(self.length_caps)

    def pool(self, length: int) -> int:
        """Count the threads that a problem has at L = `length`."""
        return sum(cap >= length for cap in self.length_caps)

    def from_length(self, least: int) -> Run | None:
        """Return the part of the run whose points have L >= `least`; None where it has none."""
        points = tuple(point for point in self.points if point[1] >= least)
        caps = tuple(cap for cap in self.length_caps if cap >= least)
        return replace(self, points=points, length_caps=caps) if points else None

    def describe_caps(self) -> str:
        """Describe the threads by cap, as `1 x 64k, 1 x 32k, 2 x 16k`."""
        counts = Counter(self.length_caps)
        return ", ".join(f"{counts[cap]} x {format_tokens(cap)}" for cap in sorted(counts, reverse=True))

    def __reduce__(self) -> tuple[Any, ...]:
        # Where it arrives the working folder may be another.
        source = anchored(self.source, Path.cwd())
        values = (source, self.compression_ratio, self.cache_budget, self.length_caps, self.points)
        return _rebuilt, (*values, self.options, self.checkpoint, self.spec, self.origin)


def make_run(
    source: str, compression_ratio: float | None, cache_budget: int | None, length_caps: tuple[int, ...],
    points: tuple[Point, ...], options: Mapping[str, OptionValue] | None = None, *, checkpoint: str | None = None,
    spec: ModelSpec | None = None,
) -> Run:  # fmt: skip
    """Resolve a run's policy and settings. ValueError names an invalid backend or option."""
    policy, chosen = backend_class(source), dict(options or {})
    return Run(
        policy.name, compression_ratio, cache_budget, length_caps, points, tuple(sorted(chosen.items())), policy,
        make_settings(policy, chosen), source, backend_origin(source), checkpoint, spec,
    )  # fmt: skip


def _rebuilt(
    source: str, compression_ratio: float | None, cache_budget: int | None, length_caps: tuple[int, ...],
    points: tuple[Point, ...], options: tuple[tuple[str, OptionValue], ...], checkpoint: str | None,
    spec: ModelSpec | None, origin: Origin | None,
) -> Run:  # fmt: skip
    run = make_run(
        source, compression_ratio, cache_budget, length_caps, points, dict(options), checkpoint=checkpoint, spec=spec
    )
    if run.origin != origin:
        raise ValueError(f"backend {source!r} is {run.origin} here, but the sweep was planned with {origin}")
    return run
