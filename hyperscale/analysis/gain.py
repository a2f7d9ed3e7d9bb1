"""Compute the average absolute gain of one frontier over another (paper, Appendix G), its interval and its null."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hyperscale.analysis.curves import (
    INTERPOLATIONS,
    READINGS,
    THE_READING,
    Curves,
    Interpolation,
    PairGains,
    Reading,
    Scale,
    curve_gains,
    frontier_curves,
)
from hyperscale.analysis.null import shuffled_points
from hyperscale.analysis.pareto import AXES, MAXIMISED, Floats, fitting, require_columns
from hyperscale.results.schema import GAINS, OUTCOME_KEY, POINT_KEY

LEAST_SPAN = 0.8
"""Share of the estimate's budgets that a resample must cover: a narrower one tells of other budgets."""
LEAST_KEPT = 0.9
"""Share of resamples that must count; below it they would describe a rare case."""
PERMUTATIONS = 200


class Gain(NamedTuple):
    """Mean of A(x) - B(x) over the common budgets `low`..`high`; all NaN where there are none (paper: NA)."""

    value: float
    low: float
    high: float


class _Backend(NamedTuple):
    """The points of one backend on one task: `values[column]` is problems x points."""

    problems: pd.Index
    values: dict[str, Floats]
    outcomes: pd.DataFrame


def gain(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    *,
    scale: Scale = THE_READING.scale,
    interpolation: Interpolation = THE_READING.interpolation,
    maximise_cost: bool = False,
) -> Gain:
    """Compute the average absolute gain of method `a` over `b`, each (costs, accuracies) of all its points.

    (1/|I|) * integral over I of A(x) - B(x): A and B are the Pareto frontiers and I the budgets that both cover.
    `step`: A(x) is the accuracy of the best point that costs at most x (throughput: yields at least x), one that was
    attained. `linear` joins points by straight lines, as the paper does. With `log2`, lines and integral are in
    log2(cost). Exact, not sampled. `maximise_cost`: more of the cost is better (throughput). Raises ValueError on a
    cost <= 0 with `log2`, and on an unknown scale or interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"unknown interpolation {interpolation!r}: choose from {', '.join(INTERPOLATIONS)}")
    (costs_a, accuracies_a), (costs_b, accuracies_b) = (
        (np.asarray(costs, np.float64)[None], np.asarray(accuracies, np.float64)[None]) for costs, accuracies in (a, b)
    )
    curves_a, curves_b = (
        frontier_curves(*side, maximise_cost) for side in ((costs_a, accuracies_a), (costs_b, accuracies_b))
    )
    found = curve_gains(curves_a, curves_b, Reading(interpolation, scale), maximise_cost)
    return Gain(*(float(column[0]) for column in found[:3]))


def gains(
    outcomes: pd.DataFrame,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    axes: Sequence[str] = AXES,
    resamples: int = 2000,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute GAINS of an OUTCOMES table, with intervals by a paired bootstrap over problems and a gain of equals.

    `pairs` are (backend, baseline); by default every two backends of a model and task, with vanilla as the baseline
    where it is one of them, else the later in the alphabet. A pair is computed on the problems that every point
    of both backends has, in each resample the same ones for both; every resample on the estimate's budgets. The
    interval is 95 %, of percentiles; NaN for fewer than two problems, without a gain, and where too few resamples cover
    the estimate's budgets. `gain_null`: `shuffled_points`. Raises ValueError on an unknown axis or backend.
    """
    require_columns(outcomes, [*OUTCOME_KEY, "accuracy", "prompt_fits", *map(_column, AXES)], "outcomes")
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise ValueError(f"unknown cost axis {unknown[0]!r}: choose from {', '.join(AXES)}")
    for name, count in (("resamples", resamples), ("permutations", permutations)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    _check_pairs(pairs, set(outcomes["backend"]))
    fit = outcomes.groupby(list(POINT_KEY))["prompt_fits"].transform("mean")
    outcomes = fitting(outcomes.assign(prompts_fit=fit))
    rows: list[dict[str, Any]] = []
    for (model, task), of_task in outcomes.groupby(["model", "task"], sort=True):
        tables = {str(name): _backend(frame, str(name), str(task)) for name, frame in of_task.groupby("backend")}
        for backend, baseline in _default_pairs(tables) if pairs is None else pairs:
            if backend in tables and baseline in tables:
                pair = {"model": model, "task": task, "backend": backend, "baseline": baseline}
                found = _gains(tables[backend], tables[baseline], axes, resamples, permutations, seed)
                rows.extend({**pair, **row} for row in found)
    return pd.DataFrame(rows, columns=[column.name for column in GAINS])


def resample_counts(problems: int, resamples: int, seed: int) -> Floats:
    """Draw how often each problem occurs in each resample of `problems` draws: resamples x problems."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples).astype(np.float64)


def _gains(
    a: _Backend, b: _Backend, axes: Sequence[str], resamples: int, permutations: int, seed: int
) -> Iterator[dict[str, Any]]:
    problems = a.problems.intersection(b.problems).sort_values()
    n = len(problems)
    if n == 0:
        yield from ({"axis": axis, **reading._asdict()} for axis in axes for reading in READINGS)
        return
    # Each problem once: the estimate.
    whole = [_curves(_means(side, problems, np.ones((1, n))), axes) for side in (a, b)]
    counts_rn = resample_counts(n, resamples, seed)
    resampled = [_curves(_means(side, problems, counts_rn), axes) for side in (a, b)]
    columns = ["accuracy", *dict.fromkeys(map(_column, axes))]
    mine, theirs = (side.outcomes[side.outcomes["problem_id"].isin(problems)] for side in (a, b))
    shuffled = shuffled_points(mine, theirs, columns, permutations, seed)
    equals = None if shuffled is None else [_curves(means, axes) for means in shuffled]
    for axis in axes:
        for reading in READINGS:
            found = _pair_gains(whole, axis, reading)
            row = Gain(*(float(column[0]) for column in found[:3]))
            low, high, kept, null = np.nan, np.nan, np.nan, np.nan
            if equals is not None and np.isfinite(row.value):
                null = _mean_defined(_pair_gains(equals, axis, reading).value_r)
            if n > 1 and np.isfinite(row.value):
                again = _pair_gains(resampled, axis, reading, within=(row.low, row.high))
                low, high, kept = _interval(again, float(found.span_r[0]))
            yield {
                "axis": axis,
                **reading._asdict(),
                "gain": row.value,
                "gain_low": low,
                "gain_high": high,
                "resamples_kept": kept,
                "gain_null": null,
                "budget_low": row.low,
                "budget_high": row.high,
            }


def _curves(means: dict[str, Floats], axes: Sequence[str]) -> dict[str, Curves]:
    """Find the frontiers of mean outcomes (sets x points) on each axis."""
    return {axis: frontier_curves(_cost(means, axis), means["accuracy"], axis in MAXIMISED) for axis in axes}


def _pair_gains(
    sides: Sequence[dict[str, Curves]], axis: str, reading: Reading, within: tuple[float, float] | None = None
) -> PairGains:
    a, b = (side[axis] for side in sides)
    return curve_gains(a, b, reading, axis in MAXIMISED, within)


def _interval(resampled: PairGains, span: float) -> tuple[float, float, float]:
    """Compute the 95 % percentile interval, and the share of resamples that cover enough of the estimate's `span`."""
    kept_r = resampled.span_r >= LEAST_SPAN * span
    kept = float(kept_r.mean())
    if kept < LEAST_KEPT:
        return np.nan, np.nan, kept
    low, high = np.percentile(resampled.value_r[kept_r], [2.5, 97.5])
    return float(low), float(high), kept


def _mean_defined(value_r: Floats) -> float:
    """Average gains, of which at least half must be defined."""
    defined_r = value_r[np.isfinite(value_r)]
    return float(defined_r.mean()) if 2 * len(defined_r) >= len(value_r) else np.nan


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
    return _Backend(problems, values, frame[frame["problem_id"].isin(problems)])


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
