"""Which threads run together: as many as the pages that they are promised leave room for.

Where a policy's bound is certain, a promise is the most that a thread can ever need, and nothing runs out half-way.
What gates will evict nobody knows beforehand: there a promise is what the checkpoint's compression ratio lets expect.
If that was too little, threads wait while the oldest go on; if not even the oldest can go on, the youngest is begun
again later, with the same draws, and more is promised to each from then on.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hyperscale.backends.memory import Reserve
from hyperscale.engines.base import Job
from hyperscale.engines.torch.sequence import Prompt, Thread
from hyperscale.kvcache.block_table import Rows

GROWTH = 1.5
"""What promises are multiplied by when they proved too small."""


@dataclass(frozen=True)
class Pending:
    """A job to begin, or what is left of one that lost its prompt or a thread."""

    job: Job
    prefill_seconds: float | None = None
    """Of the first time that this prompt was prefilled."""
    lost: Mapping[int, float] = field(default_factory=dict)
    """Seconds spent in vain on each thread."""


class Queue:
    """Jobs in their order; what must be begun again comes before what was never begun."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._first: deque[Pending] = deque()

    def peek(self) -> Pending | None:
        """What comes next; None at the end."""
        if not self._first and (job := next(self._jobs, None)):
            self._first.append(Pending(job))
        return self._first[0] if self._first else None

    def pop(self) -> Pending:
        """Take what comes next."""
        return self._first.popleft()

    def put_back(self, pending: Pending) -> None:
        """To be begun again, soon."""
        self._first.appendleft(pending)


class Admission:
    """Pages promised to prompts and threads."""

    def __init__(self, rows: Rows, reserve: Reserve) -> None:
        self._rows, self._reserve = rows, reserve
        self._certain = reserve.expects is None
        self._growth = 1.0
        # How many prompts (no cap) and threads of each size there are.
        self._promised: Counter[tuple[int, int | None]] = Counter()

    def take_prompt(self, job: Job, running: Sequence[Thread]) -> bool:
        """Promise the pages of a job's prompt, if those of one of its threads would still fit beside them."""
        prompt = len(job.prompt_tokens)
        longest = max(job.length_caps.values())
        if self._taken() + self._pages(prompt, None) + self._pages(prompt, longest) > self._rows.pages:
            return False
        if not self._certain and self._reserve.prompt(prompt) + sum(self._next_pages(running)) > self._rows.free_pages:
            return False
        self._promised[prompt, None] += 1
        return True

    def take_thread(self, job: Job, thread: int) -> bool:
        """Promise the pages that a thread is to hold beyond its prompt's."""
        key = len(job.prompt_tokens), job.length_caps[thread]
        if self._taken() + self._pages(*key) > self._rows.pages:
            return False
        self._promised[key] += 1
        return True

    def give_back(self, prompt: Prompt, threads: Sequence[int], begun: bool = True) -> None:
        """These threads ended (or were never `begun`); the prompt's pages are free when the last of its threads has."""
        tokens = len(prompt.job.prompt_tokens)
        prompt.unfinished -= len(threads)
        if begun:
            self._promised.subtract((tokens, prompt.job.length_caps[thread]) for thread in threads)
        if not prompt.unfinished:
            self._promised[tokens, None] -= 1

    def clear(self) -> None:
        """Nothing runs any more."""
        self._promised.clear()

    def grow(self) -> None:
        """Promise more from now on, to what runs, too."""
        self._growth *= GROWTH

    def runnable(self, running: list[Thread]) -> list[Thread]:
        """The oldest threads, as many as can take a step whatever it asks of the pool."""
        if self._certain:
            return running
        free = self._rows.free_pages
        for i, pages in enumerate(self._next_pages(running)):
            free -= pages
            if free < 0:
                return running[:i]
        return running

    def _next_pages(self, running: Sequence[Thread]) -> list[int]:
        return self._rows.most_new_pages([thread.slot for thread in running]).tolist()

    def _taken(self) -> int:
        return sum(count * self._pages(*key) for key, count in self._promised.items())

    def _pages(self, prompt: int, cap: int | None) -> int:
        most = self._reserve.prompt(prompt) if cap is None else self._reserve.thread(prompt, cap)
        return min(most, math.ceil(self._growth * self._reserve.expected(prompt, cap)))
