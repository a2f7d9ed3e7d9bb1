"""Predict a run's seconds, tokens and bytes by the roofline (hardware/roofline.py), and size its shards.

An upper bound on the work (every chain reaches its cap, unless told otherwise) at a lower bound on its time (no step is
slower than the roofline). Loading, compiling and grading are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import NamedTuple

import numpy as np

from hyperscale.config import SweepConfig
from hyperscale.hardware.devices import PRESETS, THIS, Device, find_device, own_preset, this_machine
from hyperscale.hardware.roofline import ceiling, prefill_seconds, roofline_micros, shape_of
from hyperscale.kvcache.block_pool import blocks_for
from hyperscale.model.spec import ModelSpec
from hyperscale.plan.fit import devices_of, fit, lent
from hyperscale.plan.runs import Run

PROMPT_TOKENS = 256
SHARD_SECONDS = 20 * 60
MOST_PROBLEMS = 4096
"""Upper bound on the problems of a shard."""

SAMPLE_TOKEN_BYTES = 4.4
"""Bytes a generated token takes in samples/, measured on 113k tokens of English: 1.5 for microseconds, 1.2 for the id,
1.1 for text, 0.4 for the end of its text; counts that grow evenly and batch sizes compress to almost nothing."""
UNEVEN_BYTES = 1.7
"""Bytes that reads, tokens held and blocks add where they do not grow evenly (on 28 layers of 4 KV heads)."""


@dataclass(frozen=True)
class Assumptions:
    """Inputs of an estimate that are unknown before a sweep: flags of `hyperscale plan`. ValueError names a bad one."""

    accelerator: str | None = None
    gpus: int | None = None
    """GPUs of the cluster; None: those of one shard."""
    prompt_tokens: int | None = None
    """Tokens of every prompt; None: PROMPT_TOKENS, or half of the smallest L where that is less."""
    reach: float = 1.0
    """Share of its cap that a chain reaches; 1 is the bound."""

    def __post_init__(self) -> None:
        if self.accelerator is not None and self.accelerator not in (*PRESETS, THIS):
            find_device(self.accelerator, "bfloat16")
        if self.gpus is not None and self.gpus < 1:
            raise ValueError(f"--gpus {self.gpus}: must be at least 1")
        if self.prompt_tokens is not None and self.prompt_tokens < 1:
            raise ValueError(f"--prompt-tokens {self.prompt_tokens}: must be at least 1")
        if not 0 < self.reach <= 1:
            raise ValueError(f"--reach {self.reach:g}: must be above 0 and at most 1")

    def prompt(self, config: SweepConfig) -> int:
        """Return the tokens of every prompt."""
        return self.prompt_tokens or max(1, min(PROMPT_TOKENS, config.lengths[0] // 2))

    def device(self, config: SweepConfig, dtype: str) -> tuple[Device, str]:
        """Choose the device that a sweep is planned on, and say why."""
        on_cpu = config.device == "cpu"
        if self.accelerator == THIS or (self.accelerator is None and on_cpu):
            return this_machine(dtype, "cpu" if on_cpu else "auto"), "this machine, measured"
        if self.accelerator is not None:
            return find_device(self.accelerator, dtype), "--accelerator"
        if (own := own_preset()) is not None:
            return find_device(own, dtype), "this machine's GPU"
        return find_device("h100", dtype), "assumed: this machine has none of " + ", ".join(PRESETS)


class Work(NamedTuple):
    """Seconds of decode steps, by their bound, and of prefills."""

    seconds: float
    weights: float
    """Seconds reading weights, in memory-bound steps."""
    cache: float
    """Seconds reading the KV cache, in memory-bound steps."""
    compute: float
    """Seconds of compute-bound steps and of prefills."""


class RunCost:
    """Cost of one run on the devices of a shard."""

    def __init__(self, config: SweepConfig, run: Run, spec: ModelSpec, dtype: str, assumed: Assumptions) -> None:
        device = lent(config, assumed.device(config, dtype)[0])
        self.fit = fit(config, run, spec, dtype, device)
        self._prompt = assumed.prompt(config)
        reached = [math.ceil(assumed.reach * cap) for cap in run.length_caps]
        self.steps = [max(0, length - self._prompt) for length in reached]
        """Decode steps of each thread of a problem."""
        shape = shape_of(spec, dtype)
        self._rows, self._token_bytes = spec.layers * spec.kv_heads, 2 * spec.head_dim * shape.number_bytes
        self._ceiling = ceiling(spec, dtype, device, devices_of(config))
        dense = dense_tokens(run, self._prompt)
        self._prefill = prefill_seconds(dense, self._token_bytes, self._rows, self._ceiling)
        self._fed = np.full(self._prompt - dense, dense * self._rows, np.float64)
        lengths = range(self._prompt + 1, self._prompt + max(self.steps) + 1)
        self._attended = attended(run, spec, lengths) * self._rows
        # Threads of a problem that take each step.
        self._alive = len(self.steps) - np.cumsum(np.bincount(self.steps, minlength=len(lengths) + 1))[: len(lengths)]
        uneven = run.policy.gated or run.policy.block_overhead > 0
        self._sample_bytes = SAMPLE_TOKEN_BYTES + (UNEVEN_BYTES if uneven else 0.0)

    def tokens(self, problems: int) -> int:
        """Return the tokens generated."""
        return problems * sum(self.steps)

    def stored_bytes(self, problems: int) -> float:
        """Return the bytes of the samples on disk."""
        return self.tokens(problems) * self._sample_bytes

    def work(self, problems: int) -> Work:
        """Time a shard of `problems`: threads start in order, as many together as fit."""
        steps = self.steps * problems
        if not sum(steps):
            return Work(0.0, 0.0, 0.0, 0.0)
        passes = makespan(steps, max(1, min(self.fit.threads, len(steps))))
        decode = self._steps(self._attended, sum(steps) / passes, self._alive)
        # Prompt tokens beyond the budget are fed one by one, by one thread alone.
        fed = self._steps(self._fed, 1.0, 1.0)
        weights, cache, compute = (problems * (a + b) for a, b in zip(decode, fed, strict=True))
        compute += problems * self._prefill
        return Work(sum([weights, cache, compute]), weights, cache, compute)

    def _steps(self, reads: np.ndarray, batch: float, times: np.ndarray | float) -> list[float]:
        """Sum the seconds of steps that each happen `times` times: reading weights, reading the cache, computing."""
        bound = self._ceiling
        micros = roofline_micros(reads, batch, self._token_bytes, self._rows, bound)
        reading = reads * self._token_bytes / bound.peak_bandwidth * 1e6
        weights = np.full_like(micros, bound.weight_bytes / batch / bound.peak_bandwidth * 1e6)
        by_memory = micros <= (reading + weights) * (1 + 1e-9)
        parts = (weights * by_memory, reading * by_memory, micros * ~by_memory)
        return [float((times * part).sum()) / 1e6 for part in parts]


def attended(run: Run, spec: ModelSpec, lengths: range) -> np.ndarray:
    """Return the KV tokens that a row attends, on average, in the step that brings a sequence to each of `lengths`."""
    policy, budget = run.policy, run.cache_budget
    expects = policy.expectation(spec.gates, run.settings)
    if expects is not None:
        return np.array([min(length, expects(length)) for length in lengths], np.float64)
    if budget is None:
        return np.array(lengths, np.float64)
    # Block summaries are read, too, to choose among the blocks.
    beside = [blocks_for(length) * policy.block_overhead if length > budget else 0 for length in lengths]
    return np.minimum(np.array(lengths, np.float64), budget) + np.array(beside, np.float64)


def dense_tokens(run: Run, prompt_tokens: int) -> int:
    """Return the prompt tokens prefilled at once; a policy that evicts at B is fed the others one by one."""
    bound = run.cache_budget is not None and run.policy.overwrites
    return min(prompt_tokens, run.cache_budget or 0) if bound else prompt_tokens


def makespan(durations: Iterable[float], workers: int) -> float:
    """Return the end of the last of `durations`, each assigned in order to the worker that is free first."""
    ends = [0.0] * workers
    for duration in durations:
        heapreplace(ends, ends[0] + duration)
    return max(ends)


def shard_problems(config: SweepConfig, run: Run, assumed: Assumptions | None = None) -> int:
    """Return the problems of a run that take SHARD_SECONDS on the accelerator planned for, at least 1."""
    assert run.spec is not None, "what is generated has a model"
    return problems_within(
        SHARD_SECONDS, RunCost(config, run, run.spec, planned_dtype(config), assumed or Assumptions())
    )


def problems_within(seconds: float, cost: RunCost) -> int:
    """Return the most problems that a shard finishes in `seconds`, from 1 to MOST_PROBLEMS."""
    most = 1
    while most < MOST_PROBLEMS and cost.work(2 * most).seconds <= seconds:
        most *= 2
    step = most // 2
    while step and most < MOST_PROBLEMS:
        if cost.work(most + step).seconds <= seconds:
            most += step
        step //= 2
    return most


def planned_dtype(config: SweepConfig) -> str:
    """Return --dtype; for auto bfloat16, in which most checkpoints are stored."""
    return "bfloat16" if config.dtype == "auto" else config.dtype


def shard_sizes(problems: Sequence[int], most: Sequence[int], workers: int) -> list[int]:
    """Size the shards of each assignment in problems: at most its `most`, fewer where some of `workers` would idle.

    No fewer than that: the threads of a shard share each read of the weights.
    """
    shards = [-(-count // size) for count, size in zip(problems, most, strict=True)]
    total = sum(shards)
    if not total or total >= workers:
        return [max(1, min(count, size)) for count, size in zip(problems, most, strict=True)]
    more = [max(1, min(count, -(-of * workers // total))) for count, of in zip(problems, shards, strict=True)]
    return [max(1, -(-count // parts)) for count, parts in zip(problems, more, strict=True)]
