"""What a sweep takes on so many GPUs, run by run of each task: estimates by the roofline, and how they are printed."""

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
    """One run of one task, cut into shards."""

    task: str
    run: Run
    problems: int
    """1 where the task's number is not known: the estimate is then a problem's."""
    known: bool
    cost: RunCost
    shard: int
    """Problems in a shard; the last one holds the rest."""
    usable: int
    """Shards of some twenty minutes that it makes."""

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
        """Of all shards together."""
        full, rest = self._works
        return Work(*(self.problems // self.shard * a + b for a, b in zip(full, rest, strict=True)))


@dataclass(frozen=True)
class Estimates:
    """Those of a sweep, on `gpus` GPUs."""

    entries: tuple[Estimate, ...]
    """Runs that fit their devices, task by task."""
    errors: tuple[str, ...]
    """What does not fit, and what would hold it."""
    gpus: int
    gpus_a_shard: float

    @property
    def counted(self) -> list[Estimate]:
        """Those whose number of problems is known."""
        return [entry for entry in self.entries if entry.known]

    @property
    def seconds(self) -> float:
        """Seconds of all shards, as if one after the other."""
        return sum(entry.work.seconds for entry in self.counted)

    @property
    def gpu_hours(self) -> float:
        """GPUs times hours."""
        return self.seconds * self.gpus_a_shard / 3600

    @property
    def wall_seconds(self) -> float:
        """Until the last shard has ended: the longest first, each to the GPUs that are free first."""
        shards = sorted((seconds for entry in self.counted for seconds in entry.shards), reverse=True)
        return makespan(shards, slots_of(self.gpus, self.gpus_a_shard))


def estimate(
    config: SweepConfig, specs: Mapping[Run, ModelSpec], dtype: str, problems: Mapping[str, int | None],
    assumed: Assumptions,
) -> Estimates:  # fmt: skip
    """Every run of every task. ValueError where not even one shard has the GPUs that it needs."""
    needed = gpus_of(config)
    gpus = assumed.gpus or math.ceil(needed)
    slots = slots_of(gpus, needed)
    if not slots:
        raise ValueError(f"--gpus {gpus}: a shard of this sweep takes {needed:g} GPUs")
    costs = {run: RunCost(config, run, spec, dtype, assumed) for run, spec in specs.items()}
    sizes = {run: problems_within(SHARD_SECONDS, cost) for run, cost in costs.items() if not cost.fit.error}
    pairs = [(task, run, size) for task in problems for run, size in sizes.items()]
    counts = [1 if problems[task] is None else problems[task] or 0 for task, _, _ in pairs]
    if config.shard_problems is not None:
        shards = [config.shard_problems] * len(pairs)
    elif config.executor == "ray" or slots > 1:
        shards = shard_sizes(counts, [size for _, _, size in pairs], slots)
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
    """A row a run of a task, and their sum."""
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
    """What the table rests on, what does not fit, and what more GPUs would bring."""
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
        yield f"{name}: its rows are those of one problem, and not in the sum"
    for error in dict.fromkeys(found.errors):
        yield f"error: {error}"
    for entry in found.entries[:1]:
        fit = entry.cost.fit
        yield f"memory of a shard: weights {format_bytes(fit.weights)}, KV cache at most {format_bytes(fit.pool)}"
    if found.counted:
        usable = sum(entry.usable for entry in found.counted)
        shards = f"{config.shard_problems} problems" if config.shard_problems else "some 20 minutes"
        yield (
            f"wall clock on {found.gpus} GPU{'s' if found.gpus > 1 else ''}: {format_seconds(found.wall_seconds)}; "
            f"cut into shards of {shards} there are {usable:,}, for at most {_gpus_for(usable, found.gpus_a_shard):,} "
            "GPUs (--executor ray)"
        )


def slots_of(gpus: int, needed: float) -> int:
    """Shards that run side by side on GPUs of which each takes `needed`: one that takes less than a whole lies on one.

    A share of 0.2 is a little more than a fifth in binary, and fits five times.
    """
    return gpus * math.floor(1 / needed + 1e-9) if needed < 1 else math.floor(gpus / needed + 1e-9)


def _gpus_for(shards: int, needed: float) -> int:
    """GPUs that so many shards run on side by side."""
    return math.ceil(shards / slots_of(1, needed)) if needed < 1 else math.ceil(shards * needed)


def bound_by(work: Work) -> str:
    """`KV 71%`: what takes the largest part of the time, and how much."""
    if not work.seconds:
        return ""
    parts = {"weights": work.weights, "KV": work.cache, "compute": work.compute}
    most = max(parts, key=parts.__getitem__)
    return f"{most} {parts[most] / work.seconds:.0%}"


def format_count(count: float) -> str:
    """`1.23 G`: three digits, decimal."""
    for unit in ("", "k", "M", "G", "T"):
        if count < 999.5 or unit == "T":
            return f"{count:,.3g} {unit}".rstrip()
        count /= 1000
    raise AssertionError


def format_hours(hours: float) -> str:
    """Three digits; what is less than four seconds is next to nothing."""
    return f"{hours:,.3g}" if hours >= 0.001 or not hours else "< 0.001"


def format_seconds(seconds: float) -> str:
    """Seconds below two minutes, minutes below two hours, then hours, and days from four on."""
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
