"""Compute a mean over problems and its confidence interval."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import DegenerateDataWarning, beta, bootstrap

from hyperscale.analysis.pareto import Floats


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
