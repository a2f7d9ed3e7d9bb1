"""Compute Pareto frontiers of accuracy over cost (paper, Appendix G)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hyperscale.results.schema import FRONTIERS, POINT_KEY

AXES = ("kv_reads", "peak_tokens", "peak_bytes", "throughput")
MAXIMISED = frozenset({"throughput"})

Floats = NDArray[np.float64]


class SortedPoints(NamedTuple):
    """Sets of points by ascending cost (indices `order_rp`), and whether each, in that order, is optimal."""

    order_rp: NDArray[np.intp]
    optimal_rp: NDArray[np.bool_]


def sort_points(costs_rp: Floats, accuracies_rp: Floats) -> SortedPoints:
    """Sort each of r sets of p points by ascending cost and mark its Pareto-optimal ones.

    Sets are independent, so that a bootstrap is one call. Dominance: see `frontier`.
    """
    finite_rp = np.isfinite(costs_rp) & np.isfinite(accuracies_rp)
    # A point that is not finite goes to the end, where its accuracy of -inf improves on none.
    cost_rp = np.where(finite_rp, costs_rp, np.inf)
    accuracy_rp = np.where(finite_rp, accuracies_rp, -np.inf)
    order_rp = np.lexsort((-accuracy_rp, cost_rp), axis=-1)
    ordered_rp = np.take_along_axis(accuracy_rp, order_rp, axis=-1)
    best_before_rp = np.full_like(ordered_rp, -np.inf)
    np.maximum.accumulate(ordered_rp[:, :-1], axis=-1, out=best_before_rp[:, 1:])
    return SortedPoints(order_rp, ordered_rp > best_before_rp)


def frontier(costs: ArrayLike, accuracies: ArrayLike, *, maximise_cost: bool = False) -> list[int]:
    """List the indices of the Pareto-optimal points, by ascending cost.

    A point is dominated when another is at most as costly and at least as accurate, and strictly better in
    one of the two; `maximise_cost` reverses "costly" (throughput). Of equal points the first is kept.
    Points that are NaN or infinite in either number never enter; `quarantined` lists them.
    """
    cost_p, accuracy_p = _columns(costs, accuracies)
    found = sort_points((-cost_p if maximise_cost else cost_p)[None], accuracy_p[None])
    ascending: list[int] = found.order_rp[0][found.optimal_rp[0]].tolist()
    return ascending[::-1] if maximise_cost else ascending


def quarantined(costs: ArrayLike, accuracies: ArrayLike) -> list[int]:
    """List the indices of points that cannot be on a frontier: NaN or infinite in cost or accuracy."""
    cost_p, accuracy_p = _columns(costs, accuracies)
    return np.flatnonzero(~(np.isfinite(cost_p) & np.isfinite(accuracy_p))).tolist()


def fitting(points: pd.DataFrame) -> pd.DataFrame:
    """Select the points of a table with `prompts_fit` at which every problem could be answered.

    The others charge for prompts that were never run, and grade answers that could not be given: they are on no
    frontier, gain or figure.
    """
    return points[points["prompts_fit"] >= 1]


def frontiers(points: pd.DataFrame) -> pd.DataFrame:
    """Compute FRONTIERS of a POINTS table: per model, task, backend and axis, over all W, L and CR of `fitting`.

    Warns of quarantined points. Raises ValueError where a column is missing.
    """
    require_columns(points, [*POINT_KEY, "accuracy", "prompts_fit", *AXES], "points")
    points = fitting(points)
    tables = []
    for (model, task, backend), group in points.groupby(["model", "task", "backend"], sort=True):
        for axis in AXES:
            bad = quarantined(group[axis], group["accuracy"])
            # Throughput that was not measured yet is no fault of a point.
            if bad and not (axis == "throughput" and group[axis].isna().all()):
                warnings.warn(
                    f"{len(bad)} of {len(group)} points of {backend} on {task} ({model}) are not finite in "
                    f"{axis} or accuracy and stay off the frontier",
                    stacklevel=2,
                )
            best = group.iloc[frontier(group[axis], group["accuracy"], maximise_cost=axis in MAXIMISED)]
            tables.append(best[list(POINT_KEY)].assign(axis=axis, cost=best[axis], accuracy=best["accuracy"]))
    columns = [column.name for column in FRONTIERS]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def require_columns(frame: pd.DataFrame, names: list[str], table: str) -> None:
    """Raise ValueError if `frame` lacks one of `names`."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"the {table} table lacks the columns {', '.join(missing)}: was it written by a sweep?")


def _columns(costs: ArrayLike, accuracies: ArrayLike) -> tuple[Floats, Floats]:
    cost_p = np.asarray(costs, dtype=np.float64)
    accuracy_p = np.asarray(accuracies, dtype=np.float64)
    if cost_p.ndim != 1 or cost_p.shape != accuracy_p.shape:
        raise ValueError(
            f"a frontier needs one accuracy for each cost, got shapes {cost_p.shape} and {accuracy_p.shape}"
        )
    return cost_p, accuracy_p
