"""The scheduler: admits prompts and threads while the blocks reserved for them fit the pool.

Where a policy's bound is certain, the reservation is the most that a thread can ever need, and the pool never runs dry.
Where gates evict, it is not known beforehand: the reservation is the number of blocks expected by the checkpoint's
compression ratio. If that was too little, the youngest sequences wait while the oldest go on; if not even the oldest
can go on, the engine preempts the youngest, recomputes it later with the same draws, and reserves more from then on.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hyperscale.backends.memory import BlockBounds
from hyperscale.engines.base import Job
from hyperscale.engines.torch.sequence import Prompt, Sequence
from hyperscale.kvcache.block_table import BlockTable

GROWTH = 1.5
"""Factor on reservations after they proved too small."""


@dataclass(frozen=True)
class Pending:
    """A job to start, or the rest of one whose prompt or thread was preempted."""

    job: Job
    prefill_seconds: float | None = None
    """Seconds of the prompt's first prefill; None if it never was."""
    wasted: Mapping[int, float] = field(default_factory=dict)
    """Seconds wasted on each preempted thread."""


class Queue:
    """Jobs in their order; preempted ones come before those that never started."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._waiting: deque[Pending] = deque()

    def peek(self) -> Pending | None:
        """Return the next job without taking it; None at the end."""
        if not self._waiting and (job := next(self._jobs, None)):
            self._waiting.append(Pending(job))
        return self._waiting[0] if self._waiting else None

    def pop(self) -> Pending:
        """Take the next job."""
        return self._waiting.popleft()

    def requeue(self, pending: Pending) -> None:
        """Put a preempted job in front."""
        self._waiting.appendleft(pending)


class Scheduler:
    """Blocks reserved for prompts and threads."""

    def __init__(self, table: BlockTable, bounds: BlockBounds) -> None:
        self._table, self._bounds = table, bounds
        self._certain = bounds.expects is None
        self._growth = 1.0
        # Prompts (no cap) and threads of each size.
        self._reserved: Counter[tuple[int, int | None]] = Counter()

    def admit_prompt(self, job: Job, running: Collection[Sequence]) -> bool:
        """Reserve the blocks of a job's prompt, if those of its longest thread would still fit beside them."""
        prompt = len(job.prompt_tokens)
        longest = max(job.length_caps.values())
        if self._taken() + self._blocks(prompt, None) + self._blocks(prompt, longest) > self._table.blocks:
            return False
        if not self._certain:
            soon = self._bounds.prompt(prompt) + sum(self._next_blocks(running))
            if soon > self._table.free_blocks:
                return False
        self._reserved[prompt, None] += 1
        return True

    def admit_thread(self, job: Job, thread: int) -> bool:
        """Reserve the blocks of a thread beside its prompt's."""
        key = len(job.prompt_tokens), job.length_caps[thread]
        if self._taken() + self._blocks(*key) > self._table.blocks:
            return False
        self._reserved[key] += 1
        return True

    def release(self, prompt: Prompt, threads: Collection[int], started: bool = True) -> None:
        """Release threads that ended, or never `started`; the prompt's reservation goes with its last thread."""
        tokens = len(prompt.job.prompt_tokens)
        prompt.unfinished -= len(threads)
        if started:
            self._reserved.subtract((tokens, prompt.job.length_caps[thread]) for thread in threads)
        if not prompt.unfinished:
            self._reserved[tokens, None] -= 1

    def clear(self) -> None:
        """Release everything."""
        self._reserved.clear()

    def grow(self) -> None:
        """Reserve more from now on, for running sequences, too."""
        self._growth *= GROWTH

    def runnable(self, running: list[Sequence]) -> list[Sequence]:
        """Select the oldest sequences, as many as the pool can surely serve in the next step."""
        if self._certain:
            return running
        free = self._table.free_blocks
        for i, blocks in enumerate(self._next_blocks(running)):
            free -= blocks
            if free < 0:
                return running[:i]
        return running

    def _next_blocks(self, running: Collection[Sequence]) -> list[int]:
        blocks: list[int] = self._table.most_new_blocks([sequence.seq for sequence in running]).tolist()
        return blocks

    def _taken(self) -> int:
        return sum(count * self._blocks(*key) for key, count in self._reserved.items())

    def _blocks(self, prompt: int, cap: int | None) -> int:
        most = self._bounds.prompt(prompt) if cap is None else self._bounds.thread(prompt, cap)
        return min(most, math.ceil(self._growth * self._bounds.expected(prompt, cap)))
