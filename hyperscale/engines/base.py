"""The contract of an engine: jobs in, chains out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from hyperscale.kvcache.shape import CacheShape

if TYPE_CHECKING:
    from hyperscale.config import SweepConfig
    from hyperscale.hardware.roofline import Ceiling
    from hyperscale.model.load import Text

FinishReason = Literal["stop", "length"]
Accounting = Literal["measured", "from_lengths", "from_text"]


@dataclass(frozen=True)
class Job:
    """One problem to generate: its prompt and, for each missing thread, the cap on its sequence.

    `length_caps[thread]` is in tokens, prompt included; every cap exceeds the prompt's length.
    """

    task: str
    problem_id: str
    prompt_tokens: tuple[int, ...]
    length_caps: dict[int, int]


@dataclass(frozen=True)
class Chain:
    """One finished thread. Entry g of every `step_*` array belongs to the decode step that fed token g.

    Every generated token is fed, the last one too, so a chain has as many decode steps as generated tokens, and a
    vanilla chain reads P+1, P+2, ..., P+G tokens (paper, section 5.1 and Appendix I).
    """

    task: str
    problem_id: str
    thread: int
    length_cap: int
    prompt_tokens: int
    tokens: NDArray[np.int32]
    finish_reason: FinishReason
    step_reads: NDArray[np.int64]
    """KV tokens attended in the step, summed over layers and KV heads."""
    step_live: NDArray[np.int64]
    """KV tokens held after the step, summed over layers and KV heads, prompt included."""
    step_pages: NDArray[np.int64]
    """Blocks held after the step by this thread alone, over all layers and KV heads."""
    step_micros: NDArray[np.int64]
    """Wall-clock microseconds of the step divided by the number of threads that ran in it. Step 0 also holds
    the time lost to preemption, if the block pool ran out."""
    row_live: NDArray[np.int64]
    """KV tokens that each row held after the last step: layers x KV heads of them, layer by layer."""
    page_shared: NDArray[np.int64]
    """For each block of the prefilled prompt, row by row: decode steps of the thread until it wrote to the block, which
    it shared with the prompt's other threads before (copy-on-write)."""
    prefill_seconds: float
    """Wall-clock seconds of the problem's first prefill, shared by its threads."""
    batch_threads: float
    """Threads running together, averaged over this chain's steps."""
    step_threads: NDArray[np.int64] | None = None
    """Threads that ran together in each step; None if unknown."""
    accounting: Accounting = "measured"
    """Source of the counts; see the column of the same name (docs/results.md)."""
    device_bytes: int | None = None
    """Peak bytes held by the engine's processes up to the end of the chain; None if unknown."""


class WeightsIdentity(TypedDict, total=False):
    """The loaded weights in the folder's identity, as JSON values. A plugin's engine may add entries."""

    resolved_dtype: str
    """Dtype that --dtype auto resolved to."""
    weights_sha: str
    gates: dict[str, Any] | None
    """GateSpec of a checkpoint with gates."""
    served_model: str
    """Name of the model on a server."""
    served_root: str
    """Folder or hub id of the weights on a server, if it tells."""


class Engine(Protocol):
    """A generator of chains, yielded in the order in which they finish, not in that of the jobs."""

    @property
    def cache_shape(self) -> CacheShape:
        """Return the constants of this model's cache."""
        ...

    @property
    def ceiling(self) -> Ceiling | None:
        """Return the devices' limits; None where the model's or the devices' numbers are unknown."""
        ...

    def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
        """Yield every thread of every job once."""
        ...


class ServedEngine(Engine, Protocol):
    """An engine with a vanilla cache that loads the weights itself: vLLM, a server, a plugin."""

    def __init__(self, config: SweepConfig, text: Text) -> None:
        """Prepare for `config`; `text` is the model's tokenizer and spec. ValueError where that fails."""
        ...

    @staticmethod
    def check(config: SweepConfig) -> None:
        """Raise ValueError where its package is missing or it does not support `config`; load nothing heavy."""
        ...

    def identity(self) -> WeightsIdentity:
        """Return the identity of the loaded weights."""
        ...
