"""Average absolute gain of one frontier over another (paper, Appendix G), with a paired bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hyperscale.analysis.curves import SCALES, Scale, gain_rows
from hyperscale.analysis.pareto import AXES, MAXIMISED, Floats, require_columns
from hyperscale.results.schema import GAINS, OUTCOME_KEY, POINT_KEY

MOST_UNDEFINED = 0.5
"""Share of resamples without a common budget beyond which an interval would describe a rare case only."""


class Gain(NamedTuple):
    """Mean of A(x) - B(x) over the common budgets `low`..`high`; all NaN where there are none (paper: NA)."""

    value: float
    low: float
    high: float


class _Pool(NamedTuple):
    """The points of one backend on one task: `values[column]` is problems x points."""

    problems: pd.Index
    values: dict[str, Floats]


def gain(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    *,
    scale: Scale = "linear",
    maximise_cost: bool = False,
) -> Gain:
    """Average absolute gain of method `a` over `b`, each (costs, accuracies) of all its points.

    (1/|I|) * integral over I of A(x) - B(x): A and B are the Pareto frontiers joined by straight lines and I
    the budgets that both cover. With `log2`, lines and integral are in log2(cost). Exact, not sampled.
    `maximise_cost`: the cost is one to be raised (throughput). Raises ValueError on a cost <= 0 with `log2`.
    """
    (costs_a, accuracies_a), (costs_b, accuracies_b) = (
        (np.asarray(costs, np.float64)[None], np.asarray(accuracies, np.float64)[None]) for costs, accuracies in (a, b)
    )
    rows = gain_rows(costs_a, accuracies_a, costs_b, accuracies_b, scale, maximise_cost)
    return Gain(*(float(column[0]) for column in rows))


def gains(
    outcomes: pd.DataFrame,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    axes: Sequence[str] = AXES,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """GAINS of an OUTCOMES table with 95 % percentile intervals of a paired bootstrap over problems.

    `pairs` are (backend, baseline); by default every two backends of a model and task, vanilla the baseline
    where it takes part, else the later in the alphabet. A pair is computed on the problems that every point
    of both backends has, in each resample the same ones for both. The interval is NaN for fewer than two
    problems, without a gain, and where over half of the resamples have no common budget. Raises ValueError
    on an unknown axis or backend.
    """
    require_columns(outcomes, [*OUTCOME_KEY, "accuracy", *map(_source, AXES)], "outcomes")
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise ValueError(f"unknown cost axis {unknown[0]!r}: choose from {', '.join(AXES)}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    _check_pairs(pairs, set(outcomes["backend"]))
    rows: list[dict[str, Any]] = []
    for (model, task), of_task in outcomes.groupby(["model", "task"], sort=True):
        pools = {str(name): _pool(frame, str(name), str(task)) for name, frame in of_task.groupby("backend")}
        for backend, baseline in _default_pairs(pools) if pairs is None else pairs:
            if backend in pools and baseline in pools:
                pair = {"model": model, "task": task, "backend": backend, "baseline": baseline}
                found = _pair_gains(pools[backend], pools[baseline], axes, resamples, seed)
                rows.extend({**pair, **row} for row in found)
    return pd.DataFrame(rows, columns=[column.name for column in GAINS])


def resample_counts(problems: int, resamples: int, seed: int) -> Floats:
    """How often each problem is drawn in each resample of `problems` draws: resamples x problems."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples).astype(np.float64)


def _pair_gains(a: _Pool, b: _Pool, axes: Sequence[str], resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    problems = a.problems.intersection(b.problems).sort_values()
    n = len(problems)
    if n == 0:
        yield from ({"axis": axis, "scale": scale} for axis in axes for scale in SCALES)
        return
    # Row 0 takes every problem once: the estimate. It shares all code with the resamples below it.
    counts_rn = np.vstack([np.ones((1, n)), resample_counts(n, resamples, seed)])
    means_a, means_b = (_means(pool, problems, counts_rn) for pool in (a, b))
    for axis in axes:
        side_a, side_b = ((_cost(means, axis), means["accuracy"]) for means in (means_a, means_b))
        for scale in SCALES:
            if scale == "log2":
                # A point that reads nothing (no prompt fits its L) has no place on a logarithmic axis.
                side_a, side_b = ((np.where(cost > 0, cost, np.nan), accuracy) for cost, accuracy in (side_a, side_b))
            rows = gain_rows(*side_a, *side_b, scale, axis in MAXIMISED)
            low, high = _interval(rows.value_r)
            yield {
                "axis": axis,
                "scale": scale,
                "gain": rows.value_r[0],
                "gain_low": low if n > 1 else np.nan,
                "gain_high": high if n > 1 else np.nan,
                "budget_low": rows.low_r[0],
                "budget_high": rows.high_r[0],
            }


def _interval(value_r: Floats) -> tuple[float, float]:
    """95 % percentile interval of an estimate (entry 0) from its resamples (the others)."""
    resampled_r = value_r[1:]
    defined_r = resampled_r[np.isfinite(resampled_r)]
    if np.isnan(value_r[0]) or len(defined_r) < len(resampled_r) * (1 - MOST_UNDEFINED):
        return np.nan, np.nan
    low, high = np.percentile(defined_r, [2.5, 97.5])
    return float(low), float(high)


def _source(axis: str) -> str:
    """Column of OUTCOMES that an axis is made of."""
    return "seconds" if axis == "throughput" else axis


def _cost(means: dict[str, Floats], axis: str) -> Floats:
    if axis != "throughput":
        return means[axis]
    with np.errstate(divide="ignore"):
        return 60 / means["seconds"]


def _pool(frame: pd.DataFrame, backend: str, task: str) -> _Pool:
    if frame.duplicated(list(OUTCOME_KEY)).any():
        raise ValueError(f"the outcomes of {backend} on {task} name a problem twice at one point")
    frame = frame.assign(point=frame.groupby(list(POINT_KEY)).ngroup())
    points_with = frame.groupby("problem_id").size()
    problems = points_with.index[points_with == frame["point"].nunique()]
    values = {
        column: frame.pivot(index="problem_id", columns="point", values=column).loc[problems].to_numpy(np.float64)
        for column in ["accuracy", *map(_source, AXES)]
    }
    return _Pool(problems, values)


def _means(pool: _Pool, problems: pd.Index, counts_rn: Floats) -> dict[str, Floats]:
    """Mean over the drawn problems of each column: resamples x points."""
    rows = pool.problems.get_indexer(problems)
    return {column: counts_rn @ values[rows] / len(problems) for column, values in pool.values.items()}


def _default_pairs(backends: Iterable[str]) -> list[tuple[str, str]]:
    return list(combinations(sorted(backends, key=lambda name: (name == "vanilla", name)), 2))


def _check_pairs(pairs: Sequence[tuple[str, str]] | None, backends: set[str]) -> None:
    for backend, baseline in pairs or ():
        unknown = {backend, baseline} - backends
        if unknown:
            raise ValueError(f"no outcomes of backend {min(unknown)!r}: there are {', '.join(sorted(backends))}")
