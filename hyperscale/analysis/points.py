"""Compute points from outcomes: the mean over problems of each (backend, CR, W, L) of a task, and its interval."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import DegenerateDataWarning, beta, bootstrap

from hyperscale.analysis.pareto import Floats
from hyperscale.results.rows import frame_to_arrow
from hyperscale.results.schema import ACCOUNTINGS, POINT_KEY, POINTS

_MEANS = ["kv_reads", "peak_tokens", "peak_bytes", "mean_length", "truncated_share", "realised_ratio"]
_MEANS += ["batch_threads", "max_threads", "as_run_seconds"]


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, low <= mean <= high."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, *, confidence: float = 0.95, resamples: int = 5000, seed: int = 0) -> Interval:
    """Average per-problem accuracies (each in 0..1), with an interval by a bootstrap over problems.

    BCa (Efron 1987), or percentiles where BCa is undefined. Where all values are equal a bootstrap has no width,
    which would mislead: the interval is then Clopper and Pearson's for n x mean successes in n trials, the widest
    case, as a binary variable varies most of all in 0..1 with one mean. One problem says nothing about others: its
    interval is [0, 1].
    """
    values_n = np.asarray(values, dtype=np.float64)
    assert values_n.ndim == 1, "one accuracy a problem"
    assert len(values_n) > 0, "a mean needs a problem"
    assert np.all((values_n >= 0) & (values_n <= 1)), "accuracies lie in 0..1"
    mean = float(values_n.mean())
    if len(values_n) == 1:
        return Interval(mean, 0.0, 1.0)
    if np.ptp(values_n) < 1e-12:
        low, high = _clopper_pearson(mean * len(values_n), len(values_n), confidence)
    else:
        low, high = _bootstrap(values_n, "BCa", confidence, resamples, seed)
        if not (np.isfinite(low) and np.isfinite(high)):
            low, high = _bootstrap(values_n, "percentile", confidence, resamples, seed)
    # A mean outside its own interval can only come from resampling noise, and cannot be plotted.
    return Interval(mean, min(low, mean), max(high, mean))


def _bootstrap(values_n: Floats, method: str, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        interval = bootstrap(
            (values_n,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(interval.low), float(interval.high)


def _clopper_pearson(successes: float, trials: int, confidence: float) -> tuple[float, float]:
    """Compute the exact binomial interval, extended to fractional successes by its beta quantiles."""
    tail = (1 - confidence) / 2
    low = beta.ppf(tail, successes, trials - successes + 1) if successes > 0 else 0.0
    high = beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return float(low), float(high)


class TaskPlan(NamedTuple):
    """A sweep's plan of a task: how its points are made, and when they are complete."""

    aggregate: str
    chance: float
    """Accuracy of guessing, 0..1."""
    problems: int
    """Number of problems that the sweep covers."""
    partial: bool
    """True if --limit or --problem-id leave problems out."""


def points(
    outcomes: pd.DataFrame, tasks: Mapping[str, TaskPlan], pools: Mapping[int, int], seed: int = 0
) -> pd.DataFrame:
    """Compute POINTS of `outcomes`; `pools[L]` is the number of threads planned for a problem at L.

    A point is complete when it covers all problems of the whole task, each with a full pool. All intervals
    draw with one seed, so that points over the same problems resample the same problems.
    """
    rows: list[dict[str, Any]] = []
    for key, group in outcomes.groupby(list(POINT_KEY)):
        values: dict[str, Any] = dict(zip(POINT_KEY, key, strict=True))
        plan = tasks[values["task"]]
        accuracy = mean_interval(group["accuracy"], seed=seed)
        seconds = float(group["seconds"].mean(skipna=False))
        full = len(group) == plan.problems and group["pool"].min() >= pools[values["length"]]
        values |= {name: group[name].mean() for name in _MEANS}
        roofline = group["roofline_seconds"].mean(skipna=False)
        values |= {
            "roofline_share": roofline / seconds if seconds > 0 else np.nan,
            "device_bytes": group["device_bytes"].max(),
            "engine": group["engine"].iloc[0],
            "timing": group["timing"].iloc[0] if group["timing"].nunique(dropna=False) == 1 else None,
            "accounting": max(group["accounting"], key=ACCOUNTINGS.index),
            "aggregate": plan.aggregate,
            "accuracy": accuracy.mean,
            "accuracy_low": accuracy.low,
            "accuracy_high": accuracy.high,
            "throughput": 60 / seconds if seconds > 0 else np.nan,
            "tied_share": group["tied"].mean(),
            "chance": plan.chance,
            "problems": len(group),
            "samples": group["pool"].sum(),
            "complete": bool(full and not plan.partial),
        }
        rows.append(values)
    frame = pd.DataFrame(rows, columns=[column.name for column in POINTS])
    table: pd.DataFrame = frame_to_arrow("points", frame).to_pandas()
    return table
