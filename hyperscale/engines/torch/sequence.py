"""Engine state of a prefilled prompt and of its running threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, dtype

from hyperscale.engines.base import Chain, Job
from hyperscale.engines.torch.states import Steps
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

    @classmethod
    def prefilled(
        cls, before: float | None, wasted: Mapping[int, float], job: Job, seq: int, logits_1v: Tensor, seconds: float
    ) -> Prompt:
        """Make the prompt of a job whose first prefill took `before` seconds, or None if this one is the first."""
        prompt = cls(job, seq, logits_1v, seconds if before is None else before)
        if before is not None:
            # Recomputed after preemption: its first thread bears the time.
            prompt.wasted = dict(wasted)
            prompt.wasted[prompt.waiting[0]] = prompt.wasted.get(prompt.waiting[0], 0.0) + seconds
        return prompt

    def rest(self, threads: Iterable[int]) -> Job:
        """Make the job of some of its threads."""
        return replace(self.job, length_caps={thread: self.job.length_caps[thread] for thread in threads})


@dataclass(frozen=True)
class Sequence:
    """A running thread; what a step changes of it is in `states.SequenceStates`."""

    prompt: Prompt
    thread: int
    """The thread's number within its problem."""
    seq: int
    """The sequence's index in the block table."""
    wasted: float = 0.0
    """Seconds wasted on it before it was preempted."""

    def not_finite(self, length: int, kind: dtype) -> ValueError:
        """Make the error for logits from which token `length` of the sequence cannot be drawn."""
        job = self.prompt.job
        return ValueError(
            f"the model's logits are not finite (task {job.task}, problem {job.problem_id}, thread {self.thread}, "
            f"token {length}): its weights are broken, or {kind} is too narrow for it; try --dtype float32. What "
            "had ended is saved"
        )

    def chain(self, steps: Steps, eos_ids: Collection[int], table: BlockTable, device_bytes: int | None) -> Chain:
        """Make the chain of a finished thread, which must still be open in the block table."""
        job = self.prompt.job
        return Chain(
            task=job.task,
            problem_id=job.problem_id,
            thread=self.thread,
            length_cap=job.length_caps[self.thread],
            prompt_tokens=len(job.prompt_tokens),
            tokens=steps.tokens.astype(np.int32),
            finish_reason="stop" if int(steps.tokens[-1]) in eos_ids else "length",
            step_reads=steps.reads,
            step_live=steps.live,
            step_pages=steps.blocks,
            step_micros=_spread(np.concatenate([[self.wasted + steps.seconds[0]], steps.seconds[1:]])),
            row_live=table.lengths[:, self.seq].ravel().astype(np.int64),
            page_shared=np.minimum(table.steps_shared(self.seq), len(steps.tokens)),
            prefill_seconds=self.prompt.prefill_seconds,
            batch_threads=float(np.mean(steps.threads)),
            step_threads=steps.threads,
            device_bytes=device_bytes,
        )


def _spread(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to microseconds as a running sum, so that rounding errors do not add up."""
    until = np.rint(np.cumsum(seconds) * 1e6).astype(np.int64)
    return until - np.concatenate(([0], until[:-1]))
