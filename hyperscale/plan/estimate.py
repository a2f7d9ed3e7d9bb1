"""Estimate a sweep on a number of GPUs by the roofline, run by run of each task, and format the estimates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.table import Table

from hyperscale.config import SweepConfig
from hyperscale.model.spec import ModelSpec
from hyperscale.plan.cost import SHARD_SECONDS, Assumptions, RunCost, Work, makespan, problems_within, shard_sizes
from hyperscale.plan.fit import gpus_of
from hyperscale.plan.runs import Run
from hyperscale.text import format_bytes


@dataclass(frozen=True)
class Estimate:
    """One run of one task, split into shards."""

    task: str
    run: Run
    problems: int
    """1 where the task's size is unknown: the estimate is then for one problem."""
    known: bool
    cost: RunCost
    shard: int
    """Problems in a shard; the last one holds the rest."""
    usable: int
    """Shards of SHARD_SECONDS (or of --shard-problems) that it splits into."""

    @cached_property
    def _works(self) -> tuple[Work, Work]:
        return self.cost.work(self.shard), self.cost.work(self.problems % self.shard)

    @property
    def shards(self) -> list[float]:
        """Seconds of each shard."""
        full, rest = self._works
        last = [rest.seconds] if self.problems % self.shard else []
        return [full.seconds] * (self.problems // self.shard) + last

    @property
    def work(self) -> Work:
        """Work of all shards together."""
        full, rest = self._works
        return Work(*(self.problems // self.shard * a + b for a, b in zip(full, rest, strict=True)))


@dataclass(frozen=True)
class Estimates:
    """Estimates of a sweep on `gpus` GPUs."""

    entries: tuple[Estimate, ...]
    """Runs that fit their devices, task by task."""
    errors: tuple[str, ...]
    """Runs that do not fit, and what would hold them."""
    gpus: int
    gpus_a_shard: float

    @property
    def counted(self) -> list[Estimate]:
        """Entries whose number of problems is known."""
        return [entry for entry in self.entries if entry.known]

    @property
    def seconds(self) -> float:
        """Seconds of all shards, one after the other."""
        return sum(entry.work.seconds for entry in self.counted)

    @property
    def gpu_hours(self) -> float:
        """GPUs times hours."""
        return self.seconds * self.gpus_a_shard / 3600

    @property
    def wall_seconds(self) -> float:
        """Seconds until the last shard ends: longest first, each to the GPUs that are free first."""
        shards = sorted((seconds for entry in self.counted for seconds in entry.shards), reverse=True)
        return makespan(shards, shards_at_once(self.gpus, self.gpus_a_shard))


def estimate(
    config: SweepConfig, specs: Mapping[Run, ModelSpec], dtype: str, problems: Mapping[str, int | None],
    assumed: Assumptions,
) -> Estimates:  # fmt: skip
    """Estimate every run of every task. ValueError where `gpus` are too few for one shard."""
    needed = gpus_of(config)
    gpus = assumed.gpus or math.ceil(needed)
    at_once = shards_at_once(gpus, needed)
    if not at_once:
        raise ValueError(f"--gpus {gpus}: a shard of this sweep takes {needed:g} GPUs; raise --gpus")
    costs = {run: RunCost(config, run, spec, dtype, assumed) for run, spec in specs.items()}
    sizes = {run: problems_within(SHARD_SECONDS, cost) for run, cost in costs.items() if not cost.fit.error}
    pairs = [(task, run, size) for task in problems for run, size in sizes.items()]
    counts = [1 if problems[task] is None else problems[task] or 0 for task, _, _ in pairs]
    if config.shard_problems is not None:
        shards = [config.shard_problems] * len(pairs)
    elif config.executor == "ray" or at_once > 1:
        shards = shard_sizes(counts, [size for _, _, size in pairs], at_once)
    else:
        shards = counts
    entries = []
    for (task, run, size), known, shard in zip(pairs, counts, shards, strict=True):
        usable = math.ceil(known / (config.shard_problems or size))
        entries.append(
            Estimate(task, run, known, problems[task] is not None, costs[run], max(1, min(shard, known)), usable)
        )
    errors = tuple(cost.fit.error for cost in costs.values() if cost.fit.error)
    return Estimates(tuple(entries), errors, gpus, needed)


def estimate_table(found: Estimates) -> Table:
    """Make a table of a row a run of a task, and their sum."""
    table = Table(title="estimate", title_justify="left")
    for column in ("task", "run", "bound by"):
        table.add_column(column, no_wrap=True)
    for column in ("problems", "tokens", "machine", "GPU-hours", "samples", "batch", "shards"):
        table.add_column(column, no_wrap=True, justify="right")
    for entry in found.entries:
        table.add_row(entry.task, entry.run.name, bound_by(entry.work), *_numbers(entry, found.gpus_a_shard))
    tokens = sum(entry.cost.tokens(entry.problems) for entry in found.counted)
    stored = sum(entry.cost.stored_bytes(entry.problems) for entry in found.counted)
    shards = sum(len(entry.shards) for entry in found.counted)
    table.add_section()
    table.add_row(
        "all", "", "", "", format_count(tokens), format_seconds(found.seconds), format_hours(found.gpu_hours),
        format_bytes(stored), "", f"{shards:,}",
    )  # fmt: skip
    return table


def estimate_lines(config: SweepConfig, found: Estimates, dtype: str, assumed: Assumptions) -> Iterator[str]:
    """Yield the table's assumptions, the runs that do not fit, and the most GPUs that would help."""
    device, why = assumed.device(config, dtype)
    yield (
        f"planned on {device.name} ({why}): {device.flops / 1e12:,.4g} TFLOP/s, {device.bandwidth / 1e9:,.4g} GB/s, "
        f"{format_bytes(device.memory_bytes)}"
    )
    yield (
        f"estimate: every chain reaches {assumed.reach:.0%} of its cap, prompts take {assumed.prompt(config)} tokens, "
        "no step is slower than the roofline; loading and grading are left out"
    )
    for name in dict.fromkeys(entry.task for entry in found.entries if not entry.known):
        yield f"{name}: number of problems unknown; its rows are for one problem and not in the sum"
    for error in dict.fromkeys(found.errors):
        yield f"error: {error}"
    for entry in found.entries[:1]:
        fit = entry.cost.fit
        yield f"memory of a shard: weights {format_bytes(fit.weights)}, KV cache at most {format_bytes(fit.cache)}"
    if found.counted:
        usable = sum(entry.usable for entry in found.counted)
        shards = f"{config.shard_problems} problems" if config.shard_problems else "some 20 minutes"
        yield (
            f"wall clock on {found.gpus} GPU{'s' if found.gpus > 1 else ''}: {format_seconds(found.wall_seconds)}; "
            f"split into shards of {shards} there are {usable:,}, for at most "
            f"{_gpus_for(usable, found.gpus_a_shard):,} GPUs (--executor ray)"
        )


def shards_at_once(gpus: int, needed: float) -> int:
    """Return the shards that run side by side, each on `needed` GPUs; a part of a GPU is one GPU's.

    0.2 is a little more than a fifth in binary, and fits five times.
    """
    return gpus * math.floor(1 / needed + 1e-9) if needed < 1 else math.floor(gpus / needed + 1e-9)


def _gpus_for(shards: int, needed: float) -> int:
    """Return the GPUs that `shards` run on side by side."""
    return math.ceil(shards / shards_at_once(1, needed)) if needed < 1 else math.ceil(shards * needed)


def bound_by(work: Work) -> str:
    """Name the largest part of the time and its share, as `KV 71%`."""
    if not work.seconds:
        return ""
    parts = {"weights": work.weights, "KV": work.cache, "compute": work.compute}
    most = max(parts, key=parts.__getitem__)
    return f"{most} {parts[most] / work.seconds:.0%}"


def format_count(count: float) -> str:
    """Format a count in three digits and a decimal unit, as `1.23 G`."""
    for unit in ("", "k", "M", "G", "T"):
        if count < 999.5 or unit == "T":
            return f"{count:,.3g} {unit}".rstrip()
        count /= 1000
    raise AssertionError


def format_hours(hours: float) -> str:
    """Format hours in three digits, below four seconds as `< 0.001`."""
    return f"{hours:,.3g}" if hours >= 0.001 or not hours else "< 0.001"


def format_seconds(seconds: float) -> str:
    """Format seconds: as minutes from two on, hours from two on, days from four on."""
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 4 * 86400)):
        if seconds < limit:
            return f"{seconds / size:,.3g} {unit}"
    return f"{seconds / 86400:,.3g} days"


def _numbers(entry: Estimate, gpus_a_shard: float) -> Sequence[str]:
    work = entry.work
    return (
        f"{entry.problems:,}" if entry.known else "of 1",
        format_count(entry.cost.tokens(entry.problems)),
        format_seconds(work.seconds),
        format_hours(work.seconds * gpus_a_shard / 3600),
        format_bytes(entry.cost.stored_bytes(entry.problems)),
        f"{entry.cost.fit.threads}",
        f"{len(entry.shards):,}",
    )
