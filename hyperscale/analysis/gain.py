"""Compute the average absolute gain of one frontier over another (paper, Appendix G), with a paired bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hyperscale.analysis.curves import SCALES, Scale, pair_gains
from hyperscale.analysis.pareto import AXES, MAXIMISED, Floats, fitting, require_columns
from hyperscale.results.schema import GAINS, OUTCOME_KEY, POINT_KEY

MOST_UNDEFINED = 0.5
"""Largest share of resamples without a common budget; beyond it an interval would describe a rare case."""


class Gain(NamedTuple):
    """Mean of A(x) - B(x) over the common budgets `low`..`high`; all NaN where there are none (paper: NA)."""

    value: float
    low: float
    high: float


class _Backend(NamedTuple):
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
    """Compute the average absolute gain of method `a` over `b`, each (costs, accuracies) of all its points.

    (1/|I|) * integral over I of A(x) - B(x): A and B are the Pareto frontiers joined by straight lines and I
    the budgets that both cover. With `log2`, lines and integral are in log2(cost). Exact, not sampled.
    `maximise_cost`: more of the cost is better (throughput). Raises ValueError on a cost <= 0 with `log2`.
    """
    (costs_a, accuracies_a), (costs_b, accuracies_b) = (
        (np.asarray(costs, np.float64)[None], np.asarray(accuracies, np.float64)[None]) for costs, accuracies in (a, b)
    )
    found = pair_gains(costs_a, accuracies_a, costs_b, accuracies_b, scale, maximise_cost)
    return Gain(*(float(column[0]) for column in found))


def gains(
    outcomes: pd.DataFrame,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    axes: Sequence[str] = AXES,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute GAINS of an OUTCOMES table with 95 % percentile intervals of a paired bootstrap over problems.

    `pairs` are (backend, baseline); by default every two backends of a model and task, with vanilla as the baseline
    where it is one of them, else the later in the alphabet. A pair is computed on the problems that every point
    of both backends has, in each resample the same ones for both. The interval is NaN for fewer than two
    problems, without a gain, and where over half of the resamples have no common budget. Raises ValueError
    on an unknown axis or backend.
    """
    require_columns(outcomes, [*OUTCOME_KEY, "accuracy", "prompt_fits", *map(_column, AXES)], "outcomes")
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise ValueError(f"unknown cost axis {unknown[0]!r}: choose from {', '.join(AXES)}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    _check_pairs(pairs, set(outcomes["backend"]))
    fit = outcomes.groupby(list(POINT_KEY))["prompt_fits"].transform("mean")
    outcomes = fitting(outcomes.assign(prompts_fit=fit))
    rows: list[dict[str, Any]] = []
    for (model, task), of_task in outcomes.groupby(["model", "task"], sort=True):
        tables = {str(name): _backend(frame, str(name), str(task)) for name, frame in of_task.groupby("backend")}
        for backend, baseline in _default_pairs(tables) if pairs is None else pairs:
            if backend in tables and baseline in tables:
                pair = {"model": model, "task": task, "backend": backend, "baseline": baseline}
                found = _gains(tables[backend], tables[baseline], axes, resamples, seed)
                rows.extend({**pair, **row} for row in found)
    return pd.DataFrame(rows, columns=[column.name for column in GAINS])


def resample_counts(problems: int, resamples: int, seed: int) -> Floats:
    """Draw how often each problem occurs in each resample of `problems` draws: resamples x problems."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples).astype(np.float64)


def _gains(a: _Backend, b: _Backend, axes: Sequence[str], resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    problems = a.problems.intersection(b.problems).sort_values()
    n = len(problems)
    if n == 0:
        yield from ({"axis": axis, "scale": scale} for axis in axes for scale in SCALES)
        return
    # Row 0 counts every problem once: the estimate. It shares all code with the resamples below it.
    counts_rn = np.vstack([np.ones((1, n)), resample_counts(n, resamples, seed)])
    means_a, means_b = (_means(side, problems, counts_rn) for side in (a, b))
    for axis in axes:
        side_a, side_b = ((_cost(means, axis), means["accuracy"]) for means in (means_a, means_b))
        for scale in SCALES:
            found = pair_gains(*side_a, *side_b, scale, axis in MAXIMISED)
            low, high = _interval(found.value_r)
            yield {
                "axis": axis,
                "scale": scale,
                "gain": found.value_r[0],
                "gain_low": low if n > 1 else np.nan,
                "gain_high": high if n > 1 else np.nan,
                "budget_low": found.low_r[0],
                "budget_high": found.high_r[0],
            }


def _interval(value_r: Floats) -> tuple[float, float]:
    """Compute the 95 % percentile interval of an estimate (entry 0) from its resamples (the others)."""
    resampled_r = value_r[1:]
    defined_r = resampled_r[np.isfinite(resampled_r)]
    if np.isnan(value_r[0]) or len(defined_r) < len(resampled_r) * (1 - MOST_UNDEFINED):
        return np.nan, np.nan
    low, high = np.percentile(defined_r, [2.5, 97.5])
    return float(low), float(high)


def _column(axis: str) -> str:
    """Name the column of OUTCOMES that an axis is computed from."""
    return "seconds" if axis == "throughput" else axis


def _cost(means: dict[str, Floats], axis: str) -> Floats:
    if axis != "throughput":
        return means[axis]
    with np.errstate(divide="ignore"):
        return 60 / means["seconds"]


def _backend(frame: pd.DataFrame, backend: str, task: str) -> _Backend:
    if frame.duplicated(list(OUTCOME_KEY)).any():
        raise ValueError(f"the outcomes of {backend} on {task} name a problem twice at one point")
    frame = frame.assign(point=frame.groupby(list(POINT_KEY)).ngroup())
    points_with = frame.groupby("problem_id").size()
    problems = points_with.index[points_with == frame["point"].nunique()]
    values = {
        column: frame.pivot(index="problem_id", columns="point", values=column).loc[problems].to_numpy(np.float64)
        for column in ["accuracy", *map(_column, AXES)]
    }
    return _Backend(problems, values)


def _means(side: _Backend, problems: pd.Index, counts_rn: Floats) -> dict[str, Floats]:
    """Average each column over the drawn problems: resamples x points."""
    drawn = side.problems.get_indexer(problems)
    return {column: counts_rn @ values[drawn] / len(problems) for column, values in side.values.items()}


def _default_pairs(backends: Iterable[str]) -> list[tuple[str, str]]:
    return list(combinations(sorted(backends, key=lambda name: (name == "vanilla", name)), 2))


def _check_pairs(pairs: Sequence[tuple[str, str]] | None, backends: set[str]) -> None:
    for backend, baseline in pairs or ():
        unknown = {backend, baseline} - backends
        if unknown:
            raise ValueError(f"no outcomes of backend {min(unknown)!r}: there are {', '.join(sorted(backends))}")
