"""Measure the latency table of a plan's runs, at the end of a sweep or for a folder that a sweep filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from hyperscale.config import SweepConfig
from hyperscale.hardware.roofline import prompt_seconds, roofline_micros
from hyperscale.plan.cost import dense_tokens
from hyperscale.plan.runs import Run
from hyperscale.process import provenance
from hyperscale.process.contention import Contention, Watch, clock_mhz, is_disturbed, load_average
from hyperscale.results.schema import LATENCY
from hyperscale.sweep.held import Facts, facts_of, held_by
from hyperscale.sweep.latency_table import covers, key_of, latencies, merged, stored
from hyperscale.sweep.rounds import DISTURBED, CellTime, Subject, take_turns

if TYPE_CHECKING:
    from hyperscale.engines.torch.fill import HeldRows
    from hyperscale.executors.local import LocalExecutor
    from hyperscale.sweep.session import Session

ROOM = 0.8
"""Share of the free memory that caches of runs that take turns may fill together."""

NOISY = 0.5
"""Share of the cells whose rounds may differ without a warning."""


def measure_latency(work: Session) -> None:
    """Time the folder's outcomes; measure its runs on this device first where latency.parquet lacks one of them.

    Does nothing else for other engines, for Ray's workers, after an interruption and with --no-latency. An interruption
    while it measures leaves the table as it was.
    """
    config, store, runs = work.config, work.folder.store, work.plan.runs
    if config.engine != "torch":
        return
    table, facts = stored(store, work.progress.say), facts_of(store, config.model, runs)
    wanted = config.latency and config.executor == "local" and not work.interrupt.requested
    if facts and wanted and not covers(table, config, facts, device_name(config.device)):
        table = _measured(work, table, facts)
    found = work.folder.tables.latencies = latencies(table, config.model, runs)
    if any(key_of(config.model, run) not in found.surfaces for run in facts) and not work.interrupt.requested:
        work.progress.say(f"throughput is not known yet: `hyperscale latency {config.output_dir}` measures it")


def _measured(work: Session, table: pd.DataFrame, facts: Mapping[Run, Facts]) -> pd.DataFrame:
    """Measure the runs and store the table; return it, as it was where that is interrupted."""
    from hyperscale.executors.local import LocalExecutor

    executor, store, say = work.loaded(), work.folder.store, work.progress.say
    if not isinstance(executor, LocalExecutor):
        return table
    work.harvest(wait=True)  # Grading would disturb it.
    held = {run: held_by(store, run, of_run) for run, of_run in facts.items()}
    try:
        with work.interrupt.breakable():
            new = measure(executor, work.config, facts, held, say)
    except KeyboardInterrupt:
        say("interrupted: latency was not measured; the same command measures it")
        return table
    table = merged(table, new, say)
    store.write_table("latency", table)
    return table


def measure(
    executor: LocalExecutor, config: SweepConfig, facts: Mapping[Run, Facts], held: Mapping[Run, HeldRows | None],
    say: Callable[[str], None],
) -> pd.DataFrame:  # fmt: skip
    """Measure LATENCY of runs on the executor's device; `say` gets a line on each run, and warnings."""
    budget, watch = executor.cache_bytes(), Watch()
    rows: list[dict[str, Any]] = []
    room = int(ROOM * executor.free_bytes())
    for group in turns(list(facts), lambda run: needed_bytes(run, config, budget, executor.dtype), room):
        subjects = [
            Subject(run, executor.probe(run, budget, held[run]), facts[run].extent)
            # Runs of one checkpoint side by side: it is loaded once.
            for run in sorted(group, key=lambda run: run.checkpoint or "")
        ]
        take_turns(subjects, config.latency_seconds)
        machine = {
            "device": device_name(str(executor.device)),
            "dtype": str(executor.dtype).removeprefix("torch."),
            "memory_budget": budget,
            "max_batch": config.max_batch,
            "load_average": load_average(),
            "clock_mhz": clock_mhz(str(executor.device)),
            "measured": provenance.now(),
        }
        for subject in subjects:
            found = subject.found()
            say(f"latency of {subject.run.name}: {described(found)}")
            rows += [{**_row(config.model, subject, time), **machine} for time in found]
    if warning := noise_warning([row["disturbed"] for row in rows], watch.look()):
        say(warning)
    return pd.DataFrame(rows, columns=[column.name for column in LATENCY])


def turns(runs: Sequence[Run], bytes_of: Callable[[Run], int], room: int) -> Iterator[list[Run]]:
    """Group runs, in order, so that the caches and weights of a group fit into `room` bytes; one run always does."""
    group: list[Run] = []
    held = 0
    for run in runs:
        more = bytes_of(run)
        if group and held + more > room:
            yield group
            group, held = [], 0
        group.append(run)
        held += more
    if group:
        yield group


def needed_bytes(run: Run, config: SweepConfig, budget: int, dtype: torch.dtype) -> int:
    """Return the bytes of a run's cache, and of weights of its own."""
    from hyperscale.backends.memory import block_bounds_for, cache_shape, pool_blocks
    from hyperscale.hardware.roofline import shape_of

    assert run.spec is not None, "what was generated has a model"
    shape = cache_shape(run.spec, dtype, run.policy)
    bounds = block_bounds_for(run.spec, run.policy, run.settings, run.cache_budget)
    pool = pool_blocks(shape, budget, config.max_batch, run.length_cap, bounds) * shape.page_bytes
    own = 0 if run.checkpoint is None else shape_of(run.spec, str(dtype).removeprefix("torch.")).stored_bytes
    return pool + own


def device_name(device: str) -> str:
    """Name the device that torch computes on for --device or a torch name: GPU, or CPU with the threads in use."""
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.cuda.get_device_name(torch.device("cuda" if device == "auto" else device))
    return f"{provenance.hardware()['cpu']}, {torch.get_num_threads()} threads"


def described(found: Sequence[CellTime]) -> str:
    """Describe a run's cells in a line."""
    steps = [time for time in found if time.cell.kind == "decode"]
    last = max(steps, key=lambda time: (time.cell.context, time.cell.batch))
    return (
        f"{len(found)} cells; a step of {last.cell.batch} threads at {last.cell.context:,} tokens takes "
        f"{last.seconds * 1e3:.3g} ms"
    )


def noise_warning(disturbed: Sequence[bool], machine: Contention) -> str | None:
    """Warn where rounds differ in more than NOISY of the cells and other work took this machine's processors.

    None elsewhere: short steps vary by themselves, and each cell tells of itself that it did.
    """
    if sum(disturbed) <= NOISY * len(disturbed) or not is_disturbed(machine):
        return None
    return (
        f"warning: rounds differ by more than {DISTURBED:.0%} in {sum(disturbed)} of {len(disturbed)} cells of the "
        f"latency table, and other work took {machine['foreign_share']:.0%} of this machine's processors meanwhile: "
        "measure again with `hyperscale latency RESULTS`"
    )


def _row(model: str, subject: Subject, time: CellTime) -> dict[str, Any]:
    run, cell = subject.run, time.cell
    return {
        "model": model,
        "backend": run.backend,
        "compression_ratio": run.compression_ratio,
        "cache_budget": run.cache_budget,
        **cell._asdict(),
        "row_tokens": time.held,
        "row_reads": time.reads,
        "seconds": time.seconds,
        "seconds_low": time.low,
        "seconds_high": time.high,
        "rounds": time.rounds,
        "steps": time.steps,
        "disturbed": time.disturbed,
        "roofline_seconds": _roofline(subject, time),
    }


def _roofline(subject: Subject, time: CellTime) -> float:
    run, probe, cell = subject.run, subject.probe, time.cell
    rows, token_bytes = probe.cache_shape.rows, probe.cache_shape.token_bytes
    if time.reads is None:
        return prompt_seconds(cell.context, dense_tokens(run, cell.context), token_bytes, rows, probe.ceiling)
    most = inf if run.cache_budget is None else run.cache_budget
    share = roofline_micros(np.array([time.reads * rows]), cell.batch, token_bytes, rows, probe.ceiling, most)
    return cell.batch * float(share[0]) * 1e-6
