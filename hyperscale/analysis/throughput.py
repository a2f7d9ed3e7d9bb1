"""Compute machine seconds of outcomes, and so throughput, from a latency table: docs/results.md has the definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hyperscale.analysis.surface import RunLatency

MEASURED, AS_RUN = "latency", "as_run"
"""Values of `timing`."""

THREAD_COLUMNS = [
    "model", "task", "backend", "compression_ratio", "cache_budget", "problem_id", "thread", "length_cap",
    "prompt_tokens", "generated_tokens",
]  # fmt: skip
"""Columns of samples that `timed` needs."""


class RunKey(NamedTuple):
    """A run as latency and samples name it; a None of either is a missing value there."""

    model: str
    backend: str
    compression_ratio: float | None
    cache_budget: int | None


Fit = Callable[[int, int, int, int, int], int]
"""(memory budget in bytes, most threads, prompt, W, L) to the threads that run together; `scheduled_threads`."""


@dataclass(frozen=True)
class Latencies:
    """Measured runs: their surfaces, and how many of their threads memory holds."""

    surfaces: Mapping[RunKey, RunLatency] = field(default_factory=dict)
    fits: Mapping[RunKey, Fit] = field(default_factory=dict)


def untimed(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Add `seconds`, `max_threads` and `timing` of outcomes without a latency: as run, for other engines than torch."""
    as_run = outcomes["engine"] != "torch"
    return outcomes.assign(
        seconds=outcomes["as_run_seconds"].where(as_run),
        max_threads=np.nan,
        timing=pd.Series(AS_RUN, outcomes.index, dtype=object).where(as_run, None),
    )


def timed(outcomes: pd.DataFrame, samples: pd.DataFrame, latencies: Latencies) -> pd.DataFrame:
    """Time the outcomes of every measured run; those of others of torch have no seconds.

    `samples`: THREAD_COLUMNS of all threads that count. Outcomes of a run that has a surface, but whose fit is not
    known here, stay as they are: another sweep over this folder timed them by the same surface. An L beyond the
    contexts measured has no seconds.
    """
    found = untimed(outcomes)
    pools = _pools(samples)
    rows: list[dict[str, Any]] = []
    for index, row in enumerate(outcomes.to_dict("records")):
        of_run = _outcome_run(row, latencies)
        pool = None if of_run is None else pools.get((of_run, row["task"], row["problem_id"]))
        if of_run is None or pool is None or row["length"] > latencies.surfaces[of_run].longest:
            continue
        if of_run not in latencies.fits:
            kept = ("seconds", "max_threads", "timing", "roofline_seconds")
            rows.append({"index": index, **{name: row[name] for name in kept}})
            continue
        rows.append({"index": index, **pool.time(row, latencies.surfaces[of_run], latencies.fits[of_run])})
    if not rows:
        return found
    new = pd.DataFrame(rows).set_index("index")
    positions = found.index[new.index]
    for name in new.columns:
        found[name] = found[name].astype(object) if name == "timing" else found[name].astype(float)
        found.loc[positions, name] = new[name].to_numpy()
    return found


class _Pool:
    """Threads of one problem in one run."""

    def __init__(self, threads: pd.DataFrame) -> None:
        self._caps, self._generated = (threads[name].to_numpy() for name in ("length_cap", "generated_tokens"))
        self._prompt = int(threads["prompt_tokens"].iloc[0])

    def time(self, outcome: Mapping[Any, Any], latency: RunLatency, fit: Fit) -> dict[str, Any]:
        """Return the columns that an outcome's timing gives it."""
        width, length, prompt = int(outcome["width"]), int(outcome["length"]), self._prompt
        if length <= prompt:
            return {"seconds": 0.0, "max_threads": np.nan, "timing": MEASURED, "roofline_seconds": np.nan}
        batch = fit(latency.budget, latency.max_batch, prompt, width, length)
        if batch < 1:
            return {"seconds": np.nan, "max_threads": 0, "timing": None, "roofline_seconds": np.nan}
        generated = np.minimum(self._generated[self._caps >= length], length - prompt)

        def total(name: str) -> float:
            return latency.prefill(name, prompt) + width * float(latency.shares(name, batch, prompt, generated).mean())

        found = {name: total(name) for name in ("seconds", "roofline_seconds")}
        return {**found, "max_threads": batch, "timing": MEASURED}


def _pools(samples: pd.DataFrame) -> dict[tuple[RunKey, str, str], _Pool]:
    """Group threads by (run, task, problem)."""
    runs = zip(*(samples[name] for name in ("model", "backend", "compression_ratio", "cache_budget")), strict=True)
    threads: dict[tuple[RunKey, str, str], list[int]] = {}
    for index, (run, task, problem) in enumerate(zip(runs, samples["task"], samples["problem_id"], strict=True)):
        threads.setdefault((run_key(*run), task, problem), []).append(index)
    return {key: _Pool(samples.iloc[of_key]) for key, of_key in threads.items()}


def run_key(model: str, backend: str, compression_ratio: float | None, cache_budget: float | None) -> RunKey:
    """Make the key of a table's values, whose missing ones may be NaN."""
    ratio = None if pd.isna(compression_ratio) else float(compression_ratio or 0)
    return RunKey(model, backend, ratio, None if pd.isna(cache_budget) else int(cache_budget or 0))


def _outcome_run(outcome: Mapping[Any, Any], latencies: Latencies) -> RunKey | None:
    """Find the measured run of an outcome: by its ratio, or by its budget L / CR; None where it was not measured."""
    model, backend, ratio = outcome["model"], outcome["backend"], float(outcome["compression_ratio"])
    both = (RunKey(model, backend, ratio, None), RunKey(model, backend, None, round(outcome["length"] / ratio)))
    return next((key for key in both if key in latencies.surfaces), None)
