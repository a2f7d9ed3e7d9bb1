"""Turn jobs into vLLM requests of several threads, and its outputs into chains with their times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from hyperscale.config import Sampling
from hyperscale.engines.base import Chain, FinishReason, Job
from hyperscale.kvcache.meter import from_lengths
from hyperscale.kvcache.shape import CacheShape

_SEED_BITS = 62


def problem_seed(seed: int, task: str, problem_id: str) -> int:
    """Derive the seed of a problem's thread 0; thread i draws with this + i, whatever its neighbours.

    Below 2^62, so that every thread's seed fits the 63 bits of vLLM's messages and torch's generators.
    """
    identity = "\x1f".join((str(seed), task, problem_id, "vllm"))
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "little") >> (64 - _SEED_BITS)


@dataclass(frozen=True)
class Request:
    """Consecutive threads of a problem under one cap: vLLM draws child i of a request with the request's seed + i."""

    job: Job
    first: int
    count: int

    @property
    def cap(self) -> int:
        """Cap on each thread's sequence, in tokens."""
        return self.job.length_caps[self.first]

    def parameters(self, sampling: Sampling, eos_ids: Iterable[int]) -> dict[str, Any]:
        """Make the arguments of SamplingParams. vLLM's own end tokens are off; `eos_ids` alone end a sequence."""
        return {
            "n": self.count,
            "seed": problem_seed(sampling.seed, self.job.task, self.job.problem_id) + self.first,
            "max_tokens": self.cap - len(self.job.prompt_tokens),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "ignore_eos": True,
            "stop_token_ids": sorted(eos_ids),
            "detokenize": False,
        }


def requests(jobs: Iterable[Job], most: int) -> Iterator[Request]:
    """Yield the jobs as requests of at most `most` threads, in order."""
    for job in jobs:
        group: list[int] = []
        for thread in sorted(job.length_caps):
            alike = group and thread == group[-1] + 1 and job.length_caps[thread] == job.length_caps[group[0]]
            if group and (not alike or len(group) == most):
                yield Request(job, group[0], len(group))
                group = []
            group.append(thread)
        if group:
            yield Request(job, group[0], len(group))


@dataclass
class _Thread:
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Its share of each of its tokens' steps."""
    beside: list[int] = field(default_factory=list)
    """Threads that got a token in each of these steps."""


class InFlight:
    """Requests in flight by vLLM's id, with the tokens so far; makes chains of finished threads."""

    def __init__(self, shape: CacheShape, block_tokens: int) -> None:
        self._shape, self._block_tokens = shape, block_tokens
        self._requests: dict[str, Request] = {}
        self._threads: dict[tuple[str, int], _Thread] = {}
        self._owed = 0.0

    def __len__(self) -> int:
        """Count the unfinished threads."""
        return len(self._threads)

    @property
    def names(self) -> list[str]:
        """Ids of unfinished requests."""
        return list(dict.fromkeys(name for name, _ in self._threads))

    def add(self, name: str, request: Request) -> None:
        """Add a request's threads."""
        self._requests[name] = request
        self._threads |= {(name, child): _Thread() for child in range(request.count)}

    def step(self, outputs: Iterable[Any], seconds: float, held: Callable[[], int | None]) -> list[Chain]:
        """Take in a step's outputs; return the chains that end with it. `held` measures the bytes held.

        A step's seconds are divided among the threads that got a token. Those of a step without any, as in a long
        prompt's prefill, are added to the next.
        """
        given = [(output.request_id, child) for output in outputs for child in output.outputs]
        given = [(name, child) for name, child in given if (name, child.index) in self._threads]
        self._owed += seconds
        beside = sum(bool(child.token_ids) for _, child in given)
        share, ended = self._owed / max(1, beside), []
        if beside:
            self._owed = 0.0
        for name, child in given:
            thread, new = self._threads[name, child.index], list(child.token_ids)
            thread.tokens += new
            if new:  # An aborted thread ends without one.
                thread.seconds += [share / len(new)] * len(new)
            thread.beside += [beside] * len(new)
            if child.finish_reason is not None:
                del self._threads[name, child.index]
                ended.append((self._requests[name], child, thread))
        bytes_held = held() if ended else None
        return [self._chain(*entry, bytes_held) for entry in ended]

    def _chain(self, request: Request, child: Any, thread: _Thread, held: int | None) -> Chain:
        job, prompt = request.job, len(request.job.prompt_tokens)
        reason = _reason(child.finish_reason, job)
        until = np.rint(np.cumsum(thread.seconds) * 1e6).astype(np.int64)
        # vLLM computes a prompt's last token, and so its block, for every thread.
        shared = (prompt - 1) // self._block_tokens * self._block_tokens
        counts = from_lengths(prompt, len(thread.tokens), self._shape.rows, self._block_tokens, shared)
        return Chain(
            task=job.task,
            problem_id=job.problem_id,
            thread=request.first + child.index,
            length_cap=request.cap,
            prompt_tokens=prompt,
            tokens=np.array(thread.tokens, np.int32),
            finish_reason=reason,
            # Rounded as a running sum, so that rounding errors do not add up.
            step_micros=np.diff(until, prepend=0),
            prefill_seconds=0.0,
            batch_threads=float(np.mean(thread.beside)),
            step_threads=np.array(thread.beside, np.int64),
            accounting="from_lengths",
            device_bytes=held,
            **counts._asdict(),
        )


def _reason(said: str, job: Job) -> FinishReason:
    if said == "stop":
        return "stop"
    if said == "length":
        return "length"
    raise ValueError(
        f"vLLM aborted a thread of task {job.task}, problem {job.problem_id} ({said}). Finished samples are saved: "
        "run the same command again"
    )
