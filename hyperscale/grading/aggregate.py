"""Aggregates: one score of a problem from W threads, expected over W-subsets of its pool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import nan
from typing import ClassVar

from hyperscale.grading.pass_at_k import pass_at_k
from hyperscale.grading.vote import majority


class Aggregate(ABC):
    """Score of W-subsets of a pool of threads."""

    name: ClassVar[str]
    """Name in task files."""

    label: ClassVar[str]
    """Label in figures."""

    votes: ClassVar[bool] = False
    """True if it needs the threads' equivalence classes."""

    @abstractmethod
    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Return (expected accuracy of `width` threads in 0..1, share of tied votes; NaN without a vote).

        `classes[i]` is thread i's equivalence class, -1 without an answer; empty where the aggregate does not vote.
        `seed` draws the subsets where there are too many for all. ValueError unless 1 <= width <= threads.
        """


class Majority(Aggregate):
    """maj@W."""

    name, label, votes = "majority", "maj@W", True

    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Return the accuracy of the vote, and the share of ties."""
        return majority(classes, correct, width, seed=seed)


class Pass(Aggregate):
    """pass@W."""

    name, label = "pass", "pass@W"

    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Return the chance that one of the threads is right."""
        return pass_at_k(len(correct), sum(correct), width), nan


class Mean(Aggregate):
    """mean@W."""

    name, label = "mean", "mean@W"

    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Return the share of right threads: its expectation over subsets is the pool's, at any width."""
        if not 1 <= width <= len(correct):
            raise ValueError(f"mean@{width} needs at least 1 and at most {len(correct)} threads, the number generated")
        return sum(correct) / len(correct), nan
