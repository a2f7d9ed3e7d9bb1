"""The stored latency table: read it, ask whether it covers runs, join new rows to it, make surfaces of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import torch

from hyperscale.analysis.surface import RunLatency
from hyperscale.analysis.throughput import Fit, Latencies, RunKey, run_key
from hyperscale.backends.memory import block_bounds_for, cache_shape, scheduled_threads
from hyperscale.config import SweepConfig
from hyperscale.plan.runs import Run
from hyperscale.results.schema import LATENCY
from hyperscale.results.store import Store
from hyperscale.storage.files import read
from hyperscale.sweep.held import Facts

CONDITIONS = ("device", "dtype", "memory_budget", "max_batch")
"""Columns that are one in a table: rows measured under others are no comparison."""
_RUN = ("model", "backend", "compression_ratio", "cache_budget")


def stored(store: Store, say: Callable[[str], None]) -> pd.DataFrame:
    """Read the folder's latency table; without rows where there is none, or, with a line, where it is damaged."""
    path = store.folder / "latency.parquet"
    columns = [column.name for column in LATENCY]
    try:
        frame = pd.read_parquet(BytesIO(read(path)), page_checksum_verification=True)
        return frame[columns]
    except FileNotFoundError:
        pass
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        say(f"warning: {path} is damaged ({' '.join(str(error).split())}); it counts as not there")
    return pd.DataFrame(columns=columns)


def covers(table: pd.DataFrame, config: SweepConfig, facts: Mapping[Run, Facts], device: str) -> bool:
    """Return whether every run was measured on this device, as the config says, over all its lengths and prompts."""
    asked = {"device": device, "memory_budget": config.memory_budget, "max_batch": config.max_batch}
    for name, value in asked.items():
        if value is not None and not (table[name] == value).all():
            return False
    measured = _by_run(table)
    for run, of_run in facts.items():
        rows, extent = measured.get(key_of(config.model, run)), of_run.extent
        if rows is None:
            return False
        for kind, longest in (("decode", extent.lengths[-1]), ("prefill", extent.longest)):
            if not rows["context"][rows["kind"] == kind].max() >= longest:
                return False
    return True


def merged(table: pd.DataFrame, measured: pd.DataFrame, say: Callable[[str], None]) -> pd.DataFrame:
    """Replace the rows of measured runs. Rows of others stay if they were measured under the same conditions."""
    new, others = set(_by_run(measured)), _by_run(table)
    here = measured[list(CONDITIONS)].iloc[0]
    kept = [rows for key, rows in others.items() if key not in new and (rows[list(CONDITIONS)] == here).all(axis=None)]
    if dropped := len(others.keys() - new) - len(kept):
        say(
            f"latency of {dropped} other runs of this folder was measured under another {' or '.join(CONDITIONS)} and "
            "is left out: their points have no throughput until `hyperscale latency` measures them, too"
        )
    return pd.concat([*kept, measured], ignore_index=True)


def latencies(table: pd.DataFrame, model: str, runs: Sequence[Run]) -> Latencies:
    """Make the surfaces of a table, and the fits of those of its runs that are among `runs`."""
    found = _by_run(table)
    whole = {key: rows for key, rows in found.items() if {"decode", "prefill"} <= set(rows["kind"])}
    fits = {
        key: fit_of(run, getattr(torch, whole[key]["dtype"].iloc[0]))
        for run in runs
        if (key := key_of(model, run)) in whole and run.spec is not None
    }
    return Latencies({key: RunLatency(rows) for key, rows in whole.items()}, fits)


def fit_of(run: Run, dtype: torch.dtype) -> Fit:
    """Return the scheduler's rule for a run whose cache is stored as `dtype`."""
    assert run.spec is not None
    shape = cache_shape(run.spec, dtype, run.policy)
    bounds = block_bounds_for(run.spec, run.policy, run.settings, run.cache_budget)
    return lambda budget, most, prompt, width, length: scheduled_threads(
        shape, budget, most, prompt, width, length, bounds
    )


def key_of(model: str, run: Run) -> RunKey:
    """Return a run's key in the table."""
    return run_key(model, run.backend, run.compression_ratio, run.cache_budget)


def _by_run(table: pd.DataFrame) -> dict[RunKey, pd.DataFrame]:
    if table.empty:
        return {}
    return {run_key(*cast("Any", key)): rows for key, rows in table.groupby(list(_RUN), dropna=False, sort=False)}
