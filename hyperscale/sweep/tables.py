"""Write the tables made from samples, repeatedly while a sweep runs: outcomes, points, frontiers, gains."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import pandas as pd
import pyarrow as pa

from hyperscale.analysis.gain import gains
from hyperscale.analysis.pareto import frontiers
from hyperscale.analysis.points import TaskPlan, points
from hyperscale.analysis.throughput import THREAD_COLUMNS, Latencies, timed, untimed
from hyperscale.results.schema import OUTCOME_KEY
from hyperscale.results.store import Store
from hyperscale.storage.files import read
from hyperscale.sweep.manifest import TaskRecord

WRITE_SECONDS = 60.0
"""Least seconds between two writes."""
WRITE_SHARE = 0.05
"""Upper bound on the share of time spent writing."""

_RUN = ["task", "backend", "compression_ratio"]
RunKey = tuple[str, str, float]
"""(task, backend, compression ratio): the key of an outcome beside its point and problem."""


class Tables:
    """Outcomes, and the tables made from them.

    Stored outcomes of runs outside this sweep are kept while their samples are stored.
    """

    @classmethod
    def of_folder(cls, store: Store, runs: Sequence[RunKey], clock: Callable[[], float] = time.monotonic) -> Tables:
        """Read the folder's outcomes of runs other than `runs`. ValueError where they are damaged."""
        return cls(store, _others(store, runs), clock)

    def __init__(self, store: Store, others: pd.DataFrame, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._frames = [others]
        self._next_write = clock() + WRITE_SECONDS
        self.latencies = Latencies()
        """Measured runs, by which outcomes are timed whenever the tables are written."""
        self.points = pd.DataFrame()
        self.frontiers = pd.DataFrame()

    def add(self, outcomes: pd.DataFrame) -> None:
        """Add the outcomes of a problem."""
        self._frames.append(outcomes)

    def write(self, tasks: Mapping[str, TaskRecord], *, last: bool = True) -> None:
        """Make and write every table; gains, the slowest, only the `last` time of a session.

        `tasks`: the manifest's, with their aggregates and pools.
        """
        began = self._clock()
        frames = [frame for frame in self._frames if len(frame)]
        if frames:
            # Intervals resample rows: their order must not depend on which run finished first.
            outcomes = pd.concat(frames, ignore_index=True).sort_values(list(OUTCOME_KEY), ignore_index=True)
            if self.latencies.surfaces:
                outcomes = timed(outcomes, self._store.read("samples", THREAD_COLUMNS), self.latencies)
            else:
                outcomes = untimed(outcomes)
            self._frames = [outcomes]
            self.points = pd.concat(
                [_points(of_task, str(task), tasks[str(task)]) for task, of_task in outcomes.groupby("task")],
                ignore_index=True,
            )
            self.frontiers = frontiers(self.points)
            self._store.write_table("outcomes", outcomes)
            self._store.write_table("points", self.points)
            self._store.write_table("frontiers", self.frontiers)
            if last:
                self._store.write_table("gains", gains(outcomes))
        ended = self._clock()
        self._next_write = ended + max(WRITE_SECONDS, (ended - began) / WRITE_SHARE)

    def write_if_due(self, tasks: Mapping[str, TaskRecord]) -> bool:
        """Write if the last write is long enough ago; return whether it did."""
        due = self._clock() >= self._next_write
        if due:
            self.write(tasks, last=False)
        return due


def _points(outcomes: pd.DataFrame, name: str, task: TaskRecord) -> pd.DataFrame:
    plan = TaskPlan(task["aggregate"], task["chance"], task["problems"], task["partial"])
    return points(outcomes, {name: plan}, {int(length): pool for length, pool in task["pools"].items()})


def _others(store: Store, runs: Sequence[RunKey]) -> pd.DataFrame:
    """Read outcomes of runs other than `runs`; drop those whose pools are no longer stored in full."""
    path = store.folder / "outcomes.parquet"
    try:
        content = read(path)
    except FileNotFoundError:
        return pd.DataFrame()
    samples = store.read("samples", [*_RUN, "problem_id", "cache_budget", "length_cap"])
    try:
        frame = pd.read_parquet(BytesIO(content), page_checksum_verification=True)
        kept = _held(frame, samples) >= frame["pool"]
        named = pd.MultiIndex.from_frame(frame[_RUN]).isin(list(runs))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} is damaged ({reason}): restore it, or delete it and sweep each of its tasks and backends "
            "again, which makes its rows anew without generating"
        ) from error
    return frame[kept & ~named]


def _held(outcomes: pd.DataFrame, samples: pd.DataFrame) -> pd.Series:
    """Count the stored threads of each outcome's pool."""
    rows = outcomes[[*_RUN, "problem_id", "length"]].reset_index(names="row")
    # Samples of a budget-bound backend have no ratio: CR = L / B follows from each L.
    rows["budget"] = (rows["length"] / rows["compression_ratio"]).round()
    pairs = rows.merge(samples, on=["task", "backend", "problem_id"], suffixes=("", "_of_sample"))
    same = pairs["compression_ratio"] == pairs["compression_ratio_of_sample"]
    same |= pairs["budget"] == pairs["cache_budget"].astype(float)
    members = pairs[same & (pairs["length_cap"] >= pairs["length"])]
    return members["row"].value_counts().reindex(outcomes.index, fill_value=0)
