"""Engine state of a prefilled prompt and of its running threads."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, dtype

from hyperscale.engines.base import Chain, FinishReason, Job
from hyperscale.engines.torch.sampling import Uniforms
from hyperscale.kvcache.block_table import BlockTable


@dataclass
class Prompt:
    """A prefilled problem. Its sequence stays open in the block table until the last of its threads is forked."""

    job: Job
    seq: int
    logits_1v: Tensor
    """Logits after the prompt's last token, from which every thread draws its first."""
    prefill_seconds: float
    wasted: dict[int, float] = field(default_factory=dict)
    """Seconds wasted on threads that were preempted."""
    waiting: deque[int] = field(init=False)
    unfinished: int = field(init=False)

    def __post_init__(self) -> None:
        # Longest first: short threads then fill the gaps at the end.
        self.waiting = deque(sorted(self.job.length_caps, key=lambda thread: -self.job.length_caps[thread]))
        self.unfinished = len(self.waiting)

    def rest(self, threads: Iterable[int]) -> Job:
        """Make the job of some of its threads."""
        return replace(self.job, length_caps={thread: self.job.length_caps[thread] for thread in threads})


class Steps:
    """Counts and seconds of each decode step of one thread, in arrays: 40 bytes a step; long chains take 100,000."""

    def __init__(self) -> None:
        self.reads, self.live, self.blocks, self.threads = (array("q") for _ in range(4))
        self.seconds = array("d")

    def add(self, reads: int, live: int, blocks: int, threads: int, seconds: float) -> None:
        """Add one step; see `engines.base.Chain`."""
        self.reads.append(reads)
        self.live.append(live)
        self.blocks.append(blocks)
        self.threads.append(threads)
        self.seconds.append(seconds)


@dataclass
class Sequence:
    """A running thread between two steps: all its tokens but the last have been fed."""

    prompt: Prompt
    thread: int
    """The thread's number within its problem."""
    seq: int
    """The sequence's index in the block table."""
    uniforms: Uniforms
    wasted: float = 0.0
    """Seconds wasted on it before it was preempted."""
    tokens: list[int] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)

    @property
    def length(self) -> int:
        """Count the tokens of the sequence, prompt included."""
        return len(self.prompt.job.prompt_tokens) + len(self.tokens)

    def finish_reason(self, eos_ids: frozenset[int]) -> FinishReason | None:
        """Tell why the thread ends with its last token; None if it goes on."""
        if self.tokens[-1] in eos_ids:
            return "stop"
        return "length" if self.length >= self.prompt.job.length_caps[self.thread] else None

    def not_finite(self, kind: dtype) -> ValueError:
        """Make the error for logits from which no token can be drawn."""
        job = self.prompt.job
        return ValueError(
            f"the model's logits are not finite (task {job.task}, problem {job.problem_id}, thread {self.thread}, "
            f"token {self.length}): its weights are broken, or {kind} is too narrow for it; try --dtype float32. What "
            "had ended is saved"
        )

    def chain(self, eos_ids: frozenset[int], table: BlockTable) -> Chain:
        """Make the chain of a finished thread, which must still be open in the block table."""
        reason, job = self.finish_reason(eos_ids), self.prompt.job
        assert reason is not None
        steps = self.steps
        return Chain(
            task=job.task,
            problem_id=job.problem_id,
            thread=self.thread,
            length_cap=job.length_caps[self.thread],
            prompt_tokens=len(job.prompt_tokens),
            tokens=np.array(self.tokens, np.int32),
            finish_reason=reason,
            step_reads=np.array(steps.reads, np.int64),
            step_live=np.array(steps.live, np.int64),
            step_pages=np.array(steps.blocks, np.int64),
            step_micros=_spread(np.array([self.wasted + steps.seconds[0], *steps.seconds[1:]])),
            row_live=table.lengths[:, self.seq].ravel().astype(np.int64),
            page_shared=np.minimum(table.steps_shared(self.seq), len(self.tokens)),
            prefill_seconds=self.prompt.prefill_seconds,
            batch_threads=float(np.mean(steps.threads)),
            step_threads=np.array(steps.threads, np.int64),
        )


def _spread(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to microseconds as a running sum, so that rounding errors do not add up."""
    until = np.rint(np.cumsum(seconds) * 1e6).astype(np.int64)
    return until - np.concatenate(([0], until[:-1]))
