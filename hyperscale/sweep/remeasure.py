"""Measure latency apart from a sweep: of a results folder, whose tables are made again, or of a model alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pandas as pd

from hyperscale.executors.local import LocalExecutor
from hyperscale.plan.resolve import Plan
from hyperscale.results.store import Store
from hyperscale.sweep import manifest
from hyperscale.sweep.held import expected, facts_of, held_by
from hyperscale.sweep.latency import measure
from hyperscale.sweep.latency_table import latencies, merged, stored
from hyperscale.sweep.manifest import Manifest
from hyperscale.sweep.tables import Tables


def measure_folder(plan: Plan, say: Callable[[str], None]) -> pd.DataFrame:
    """Measure the runs of the folder's last session that have samples, on this device, and time its outcomes.

    Returns the new rows. ValueError where an engine other than torch filled the folder, or the model is not that of
    its samples. Nothing is written before all is measured.
    """
    config = plan.config
    if config.engine != "torch":
        raise ValueError(f"--engine {config.engine} filled {config.output_dir}: its throughput is as run")
    with Store(config.output_dir, say) as store:
        held_manifest = cast("Manifest", store.read_manifest())
        facts = facts_of(store, config.model, plan.runs)
        if not facts:
            raise ValueError(f"{config.output_dir} holds no sample of its last session: let the sweep finish one")
        identity = held_manifest["identity"]["model"]
        executor = LocalExecutor(plan.at_revision(config.revision or identity.get("resolved_revision")))
        manifest.identify(held_manifest, executor.identity())
        held = {run: held_by(store, run, of_run) for run, of_run in facts.items()}
        new = measure(executor, config, facts, held, say)
        table = merged(stored(store, say), new, say)
        store.write_table("latency", table)
        tables = Tables.of_folder(store, [])
        tables.latencies = latencies(table, config.model, plan.runs)
        tables.write(held_manifest["tasks"])
    return new


def measure_model(plan: Plan, say: Callable[[str], None]) -> pd.DataFrame:
    """Measure the runs of a plan without samples, and write OUTPUT_DIR/latency.parquet; returns its rows.

    ValueError where the folder holds a sweep's results, or the engine is not torch.
    """
    config = plan.config
    if config.engine != "torch":
        raise ValueError(f"--engine {config.engine}: latency is measured of torch alone, which has every backend")
    plan.require_model()
    with Store(config.output_dir, say) as store:
        if store.read_manifest() is not None:
            raise ValueError(
                f"{config.output_dir} holds a sweep: `hyperscale latency {config.output_dir}` measures its runs, or "
                "choose another --output-dir"
            )
        found = {run: expected(run) for run in plan.runs}
        facts, held = ({run: of_run[part] for run, of_run in found.items()} for part in (0, 1))
        new = measure(LocalExecutor(plan), config, facts, held, say)  # type: ignore[arg-type]
        store.write_table("latency", new)
    return new
