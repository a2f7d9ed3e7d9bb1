"""What a run takes by the roofline (analysis/roofline.py): seconds, tokens, bytes; and how many problems make a shard.

An upper bound on the work (every chain is as long as its cap, unless told otherwise) at a lower bound on its time (no
step is slower than the roofline): real chains are shorter, and real steps slower. Loading, compiling and grading are
left out.
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
"""Problems that a shard has at most, however quick they are."""

SAMPLE_TOKEN_BYTES = 4.4
"""Bytes of a generated token in the samples (results/part.py), measured on 113k tokens of English: 1.5 of microseconds,
1.2 of the id, 1.1 of text, 0.4 of where the text ends; next to nothing of counts that grow evenly and of batches."""
UNEVEN_BYTES = 1.7
"""What reads, tokens held and pages add where they do not (on 28 layers of 4 KV heads)."""


@dataclass(frozen=True)
class Assumptions:
    """What nobody knows before a sweep: flags of `hyperscale plan`. ValueError names the one at fault."""

    accelerator: str | None = None
    gpus: int | None = None
    """GPUs that shards run on side by side; None: those of one shard."""
    prompt_tokens: int | None = None
    """None: PROMPT_TOKENS, or half of the smallest L where that is less."""
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
        """Tokens of every prompt."""
        return self.prompt_tokens or max(1, min(PROMPT_TOKENS, config.lengths[0] // 2))

    def device(self, config: SweepConfig, dtype: str) -> tuple[Device, str]:
        """The device that a sweep is planned on, and why it is that one."""
        on_cpu = config.device == "cpu"
        if self.accelerator == THIS or (self.accelerator is None and on_cpu):
            return this_machine(dtype, "cpu" if on_cpu else "auto"), "this machine, measured"
        if self.accelerator is not None:
            return find_device(self.accelerator, dtype), "--accelerator"
        if (own := own_preset()) is not None:
            return find_device(own, dtype), "this machine's GPU"
        return find_device("h100", dtype), "assumed: this machine has none of " + ", ".join(PRESETS)


class Work(NamedTuple):
    """Seconds of decode steps, by what bounds them, and of prefills."""

    seconds: float
    weights: float
    """Spent reading weights, in steps that memory bounds."""
    cache: float
    """Spent reading the KV cache, in the same."""
    compute: float
    """Of steps that arithmetic bounds, and prefills."""


class RunCost:
    """A run of a model on the devices of a shard."""

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
        # How many of a problem's threads take each step.
        self._alive = len(self.steps) - np.cumsum(np.bincount(self.steps, minlength=len(lengths) + 1))[: len(lengths)]
        uneven = run.policy.gated or run.policy.block_overhead > 0
        self._sample_bytes = SAMPLE_TOKEN_BYTES + (UNEVEN_BYTES if uneven else 0.0)

    def tokens(self, problems: int) -> int:
        """Tokens generated."""
        return problems * sum(self.steps)

    def stored_bytes(self, problems: int) -> float:
        """Bytes of the samples on disk."""
        return self.tokens(problems) * self._sample_bytes

    def work(self, problems: int) -> Work:
        """What a shard of so many problems takes: its threads start in their order, as many together as fit."""
        steps = self.steps * problems
        if not sum(steps):
            return Work(0.0, 0.0, 0.0, 0.0)
        passes = makespan(steps, max(1, min(self.fit.threads, len(steps))))
        decode = self._steps(self._attended, sum(steps) / passes, self._alive)
        # What a budget leaves of a prompt to be fed token by token, by one thread alone.
        parts = [problems * sum(pair) for pair in zip(decode, self._steps(self._fed, 1.0, 1.0), strict=True)]
        parts[2] += problems * self._prefill
        return Work(sum(parts), *parts)

    def _steps(self, reads: np.ndarray, batch: float, times: np.ndarray | float) -> list[float]:
        """Seconds of steps that each happen so many times: reading weights, reading the cache, computing."""
        bound = self._ceiling
        micros = roofline_micros(reads, batch, self._token_bytes, self._rows, bound)
        reading = reads * self._token_bytes / bound.peak_bandwidth * 1e6
        weights = np.full_like(micros, bound.weight_bytes / batch / bound.peak_bandwidth * 1e6)
        by_memory = micros <= (reading + weights) * (1 + 1e-9)
        parts = (weights * by_memory, reading * by_memory, micros * ~by_memory)
        return [float((times * part).sum()) / 1e6 for part in parts]


def attended(run: Run, spec: ModelSpec, lengths: range) -> np.ndarray:
    """KV tokens that a row attends, on average, in the step that makes a sequence each of `lengths` tokens long."""
    policy, budget = run.policy, run.cache_budget
    expects = policy.expectation(spec.gates, run.settings)
    if expects is not None:
        return np.array([min(length, expects(length)) for length in lengths], np.float64)
    if budget is None:
        return np.array(lengths, np.float64)
    # What a policy keeps beside its pages it must read to choose among them.
    beside = [blocks_for(length) * policy.block_overhead if length > budget else 0 for length in lengths]
    return np.minimum(np.array(lengths, np.float64), budget) + np.array(beside, np.float64)


def dense_tokens(run: Run, prompt_tokens: int) -> int:
    """Tokens of a prompt that are prefilled at once; a policy that evicts at B is fed the others one by one."""
    bound = run.cache_budget is not None and run.policy.overwrites
    return min(prompt_tokens, run.cache_budget or 0) if bound else prompt_tokens


def makespan(durations: Iterable[float], workers: int) -> float:
    """When the last of `durations` ends, if each in turn goes to the worker that is free first."""
    ends = [0.0] * workers
    for duration in durations:
        heapreplace(ends, ends[0] + duration)
    return max(ends)


def shard_problems(config: SweepConfig, run: Run, assumed: Assumptions | None = None) -> int:
    """Problems of a run that take some twenty minutes on the accelerator planned for: at least 1."""
    assert run.spec is not None, "what is generated has a model"
    return problems_within(
        SHARD_SECONDS, RunCost(config, run, run.spec, planned_dtype(config), assumed or Assumptions())
    )


def problems_within(seconds: float, cost: RunCost) -> int:
    """The most problems that a shard does in `seconds`, from 1 to MOST_PROBLEMS."""
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
    """--dtype, with what most checkpoints are stored in for auto."""
    return "bfloat16" if config.dtype == "auto" else config.dtype


def shard_sizes(problems: Sequence[int], most: Sequence[int], slots: int) -> list[int]:
    """Problems in a shard of each assignment: at most its `most`, fewer where some of `slots` workers had no shard.

    No fewer than that: the threads of a shard share each reading of the weights.
    """
    shards = [-(-count // size) for count, size in zip(problems, most, strict=True)]
    total = sum(shards)
    if not total or total >= slots:
        return [max(1, min(count, size)) for count, size in zip(problems, most, strict=True)]
    more = [max(1, min(count, -(-of * slots // total))) for count, of in zip(problems, shards, strict=True)]
    return [max(1, -(-count // parts)) for count, parts in zip(problems, more, strict=True)]
