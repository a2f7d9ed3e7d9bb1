"""Compute a mean over problems, its confidence interval and its standard error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, low <= mean <= high; NaN as error where it is not known."""

    mean: float
    low: float
    high: float
    standard_error: float
    """Of the mean, by the spread of the problems."""


def mean_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Average per-problem accuracies (each in 0..1), with Agresti and Coull's interval extended to fractions.

    Agresti and Coull (1998) add z^2 made-up problems, half of them right and half wrong, to a binomial sample, and take
    mean +- z standard errors of all. So does this with the mean and variance of accuracies that may be any fraction
    (a mean over W-subsets); for accuracies of 0 and 1 alone it is theirs. It is a continuous function of the
    accuracies: no cliff where all are equal. `benchmarks/coverage.py` measures how often it holds the truth. One
    problem says nothing about others: its interval is [0, 1], its standard error NaN.
    """
    values_n = np.asarray(values, dtype=np.float64)
    assert values_n.ndim == 1, "one accuracy a problem"
    n = len(values_n)
    assert n > 0, "a mean needs a problem"
    assert np.all((values_n >= 0) & (values_n <= 1)), "accuracies lie in 0..1"
    mean = float(values_n.mean())
    if n == 1:
        return Interval(mean, 0.0, 1.0, np.nan)
    z = float(norm.ppf((1 + confidence) / 2))
    added = z**2
    centre = (values_n.sum() + added / 2) / (n + added)
    squares = ((values_n - centre) ** 2).sum() + added / 2 * (centre**2 + (1 - centre) ** 2)
    half = z * float(np.sqrt(squares)) / (n + added)
    error = float(values_n.std(ddof=1)) / n**0.5
    # Exact arithmetic has the mean within; the last bit may not.
    return Interval(mean, max(0.0, min(centre - half, mean)), min(1.0, max(centre + half, mean)), error)
