"""Compute points from outcomes: the mean over problems of each (backend, CR, W, L) of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hyperscale.analysis.intervals import mean_interval
from hyperscale.grading.aggregate import subset_count
from hyperscale.results.rows import frame_to_arrow
from hyperscale.results.schema import ACCOUNTINGS, POINT_KEY, POINTS

_MEANS = [
    "kv_reads",
    "peak_tokens",
    "peak_tokens_sum",
    "peak_bytes",
    "peak_bytes_sum",
    "mean_length",
    "truncated_share",
    "realised_ratio",
]
_MEANS += ["batch_threads", "max_threads", "as_run_seconds"]


class TaskPlan(NamedTuple):
    """A sweep's plan of a task: how its points are made, and when they are complete."""

    aggregate: str
    chance: float
    """Accuracy of guessing, 0..1."""
    problems: int
    """Number of problems that the sweep covers."""
    partial: bool
    """True if --limit or --problem-id leave problems out."""


def points(outcomes: pd.DataFrame, tasks: Mapping[str, TaskPlan], pools: Mapping[int, int]) -> pd.DataFrame:
    """Compute POINTS of `outcomes`; `pools[L]` is the number of threads planned for a problem at L.

    A point is complete when it covers all problems of the whole task, each with a full pool.
    """
    rows: list[dict[str, Any]] = []
    for key, group in outcomes.groupby(list(POINT_KEY)):
        values: dict[str, Any] = dict(zip(POINT_KEY, key, strict=True))
        plan = tasks[values["task"]]
        accuracy = mean_interval(group["accuracy"])
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
            "standard_error": accuracy.standard_error,
            "throughput": 60 / seconds if seconds > 0 else np.nan,
            "tied_share": group["tied"].mean(),
            "chance": plan.chance,
            "prompts_fit": group["prompt_fits"].mean(),
            "draws": min(subset_count(pool, values["width"]) for pool in group["pool"].unique()),
            "problems": len(group),
            "samples": group["pool"].sum(),
            "complete": bool(full and not plan.partial),
        }
        rows.append(values)
    frame = pd.DataFrame(rows, columns=[column.name for column in POINTS])
    table: pd.DataFrame = frame_to_arrow("points", frame).to_pandas()
    return table
