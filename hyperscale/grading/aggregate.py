"""Aggregates: how the answers of W threads become one score of a problem, expected over which W of the pool answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import nan
from typing import ClassVar

from hyperscale.grading.pass_at_k import pass_at_k
from hyperscale.grading.vote import majority


class Aggregate(ABC):
    """Score W-subsets of a pool of threads."""

    name: ClassVar[str]
    """As task files have it."""

    label: ClassVar[str]
    """As figures have it."""

    votes: ClassVar[bool] = False
    """Needs the threads' equivalence classes."""

    @abstractmethod
    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """(expected accuracy of `width` threads in 0..1, share of tied votes; NaN where nothing is voted).

        `classes[i]` is thread i's equivalence class, -1 without an answer; empty where the aggregate does not vote.
        `seed` decides which subsets stand for all where there are too many. ValueError unless 1 <= width <= threads.
        """


class Majority(Aggregate):
    """maj@W."""

    name, label, votes = "majority", "maj@W", True

    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Accuracy of the vote, and how often it is tied."""
        return majority(classes, correct, width, seed=seed)


class Pass(Aggregate):
    """pass@W."""

    name, label = "pass", "pass@W"

    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Chance that one of the threads is right."""
        return pass_at_k(len(correct), sum(correct), width), nan


class Mean(Aggregate):
    """mean@W."""

    name, label = "mean", "mean@W"

    def score(self, classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int) -> tuple[float, float]:
        """Share of the threads that are right: its expectation over subsets is the pool's, whatever their width."""
        if not 1 <= width <= len(correct):
            raise ValueError(f"mean@{width} needs at least 1 and at most {len(correct)} threads, the number generated")
        return sum(correct) / len(correct), nan
