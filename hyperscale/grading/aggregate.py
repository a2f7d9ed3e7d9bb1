"""Aggregates: one score of a problem from W threads, expected over W-subsets of its pool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain, combinations
from math import comb, nan, prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

MOST_SUBSETS = 1000
"""Subsets that are drawn where a pool has more."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Estimate pass@k, unbiased: 1 - C(samples - correct, k) / C(samples, k), where `correct` of `samples` passed.

    ValueError unless 0 <= correct <= samples and 1 <= k <= samples.
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"pass@k: {correct} of {samples} samples cannot be correct")
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least 1 and at most {samples} samples, the number generated")
    if samples - correct < k:
        return 1.0
    return 1.0 - prod(1.0 - k / n for n in range(samples - correct + 1, samples + 1))


def majority(
    classes: Sequence[int], correct: Sequence[bool], width: int, *, seed: int, max_subsets: int = MOST_SUBSETS
) -> tuple[float, float]:
    """Score one problem: (expected accuracy of maj@width, share of subsets with a tied vote).

    `classes[i]` is thread i's equivalence class, -1 where its answer is missing: it never votes. Averages over all
    subsets of `width` threads, or over `max_subsets` random ones (drawn from `seed`) where there are more. A tie gives
    each leading class the same chance, a subset without answers scores 0. Where equal answers were graded differently,
    their class scores the share that was graded correct. ValueError unless 1 <= width <= threads.
    """
    pool = len(classes)
    if len(correct) != pool:
        raise ValueError(f"majority: {pool} classes but {len(correct)} verdicts")
    if not 1 <= width <= pool:
        raise ValueError(f"majority: width {width} needs a pool of at least {width} threads, there are {pool}")
    class_of_thread = np.asarray(classes, dtype=np.int64)
    member_tc = class_of_thread[:, None] == np.unique(class_of_thread[class_of_thread >= 0])[None, :]
    if not member_tc.shape[1]:
        return 0.0, 0.0
    chosen_st = np.zeros((subset_count(pool, width, max_subsets), pool), dtype=np.int64)
    np.put_along_axis(chosen_st, subsets(pool, width, seed, max_subsets), 1, axis=1)
    votes_sc = chosen_st @ member_tc.astype(np.int64)
    right_sc = chosen_st @ (member_tc & np.asarray(correct, dtype=bool)[:, None]).astype(np.int64)
    leads_sc = (votes_sc == votes_sc.max(axis=1, keepdims=True)) & (votes_sc > 0)
    score_sc = np.where(leads_sc, right_sc / np.maximum(votes_sc, 1), 0.0)
    leaders_s = leads_sc.sum(axis=1)
    accuracy_s = score_sc.sum(axis=1) / np.maximum(leaders_s, 1)
    return float(accuracy_s.mean()), float((leaders_s > 1).mean())


def subset_count(pool: int, width: int, max_subsets: int = MOST_SUBSETS) -> int:
    """Count the W-subsets that a vote is averaged over: all of them, or `max_subsets` where there are more."""
    return min(comb(pool, width), max_subsets)


def subsets(pool: int, width: int, seed: int, max_subsets: int = MOST_SUBSETS) -> NDArray[np.int64]:
    """List every subset of `width` of `pool` threads, or `max_subsets` random ones: subsets x width, by index."""
    if comb(pool, width) <= max_subsets:
        members = np.fromiter(chain.from_iterable(combinations(range(pool), width)), dtype=np.int64)
        return members.reshape(-1, width)
    keys = np.random.default_rng(seed).random((max_subsets, pool))
    return np.argpartition(keys, width - 1, axis=1)[:, :width]


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
