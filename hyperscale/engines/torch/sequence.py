"""A running problem and its running threads: what the engine keeps of them until they end."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, dtype

from hyperscale.engines.base import Chain, FinishReason, Job
from hyperscale.engines.torch.randomness import Uniforms
from hyperscale.kvcache.block_table import Rows


@dataclass
class Prompt:
    """A prefilled problem. Its slot stays open until the last of its threads is forked."""

    job: Job
    slot: int
    logits_1v: Tensor
    """Logits after the prompt's last token, from which every thread draws its first."""
    prefill_seconds: float
    lost: dict[int, float] = field(default_factory=dict)
    """Seconds spent in vain on threads that are begun again."""
    waiting: deque[int] = field(init=False)
    unfinished: int = field(init=False)

    def __post_init__(self) -> None:
        # Longest first: short threads then fill the places that end up free.
        self.waiting = deque(sorted(self.job.length_caps, key=lambda thread: -self.job.length_caps[thread]))
        self.unfinished = len(self.waiting)

    def rest(self, threads: Iterable[int]) -> Job:
        """The job of some of its threads."""
        return replace(self.job, length_caps={thread: self.job.length_caps[thread] for thread in threads})


class Steps:
    """What each decode step of one thread cost, in arrays: 40 bytes a step, where long chains have 100,000 of them."""

    def __init__(self) -> None:
        self.reads, self.live, self.pages, self.threads = (array("q") for _ in range(4))
        self.seconds = array("d")

    def add(self, reads: int, live: int, pages: int, threads: int, seconds: float) -> None:
        """One more step; see `engines.base.Chain`."""
        self.reads.append(reads)
        self.live.append(live)
        self.pages.append(pages)
        self.threads.append(threads)
        self.seconds.append(seconds)


@dataclass
class Thread:
    """A thread between two steps: all its tokens but the last have been fed."""

    prompt: Prompt
    index: int
    slot: int
    uniforms: Uniforms
    lost: float = 0.0
    """Seconds spent in vain on it."""
    tokens: list[int] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)

    @property
    def length(self) -> int:
        """Tokens of the sequence, prompt included."""
        return len(self.prompt.job.prompt_tokens) + len(self.tokens)

    def finish_reason(self, eos_ids: frozenset[int]) -> FinishReason | None:
        """Why the thread ends with its last token; None if it goes on."""
        if self.tokens[-1] in eos_ids:
            return "stop"
        return "length" if self.length >= self.prompt.job.length_caps[self.index] else None

    def not_finite(self, kind: dtype) -> ValueError:
        """What a user is told where no next token can be drawn."""
        job = self.prompt.job
        return ValueError(
            f"the model's logits are not finite (task {job.task}, problem {job.problem_id}, thread {self.index}, token "
            f"{self.length}): its weights are broken, or {kind} is too narrow for it; try --dtype float32. What had "
            "ended is saved"
        )

    def chain(self, eos_ids: frozenset[int], rows: Rows) -> Chain:
        """The finished thread, whose rows are still open."""
        reason, job = self.finish_reason(eos_ids), self.prompt.job
        assert reason is not None
        steps = self.steps
        return Chain(
            task=job.task,
            problem_id=job.problem_id,
            thread=self.index,
            length_cap=job.length_caps[self.index],
            prompt_tokens=len(job.prompt_tokens),
            tokens=np.array(self.tokens, np.int32),
            finish_reason=reason,
            step_reads=np.array(steps.reads, np.int64),
            step_live=np.array(steps.live, np.int64),
            step_pages=np.array(steps.pages, np.int64),
            step_micros=_spread(np.array([self.lost + steps.seconds[0], *steps.seconds[1:]])),
            row_live=rows.lengths[:, self.slot].ravel().astype(np.int64),
            page_shared=np.minimum(rows.steps_shared(self.slot), len(self.tokens)),
            prefill_seconds=self.prompt.prefill_seconds,
            batch_threads=float(np.mean(steps.threads)),
            step_threads=np.array(steps.threads, np.int64),
        )


def _spread(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Microseconds of each step, rounded as a running sum so that what rounding loses does not add up."""
    until = np.rint(np.cumsum(seconds) * 1e6).astype(np.int64)
    return until - np.concatenate(([0], until[:-1]))
