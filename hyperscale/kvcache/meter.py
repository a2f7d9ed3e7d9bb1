"""The one definition of KV reads, live tokens and pages: what was really attended and really held.

A *KV token* is the key and value of one token in one KV head of one layer. Counts are exact integers, summed
over the layers and KV heads of a sequence; whoever reports them divides by layers x KV heads. Prefill is not
counted as reads. A page that several threads share is held once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyperscale.kvcache.block_table import PAGE_SIZE, Rows


class StepCounts(NamedTuple):
    """Counts of one decode step, one entry a sequence, summed over layers and KV heads."""

    reads: NDArray[np.int64]
    """KV tokens attended in the step."""
    live: NDArray[np.int64]
    """KV tokens held after the step."""
    pages: NDArray[np.int64]
    """Pages held after the step that are the sequence's own."""


class Meter:
    """Counts a decode step: a backend passes on which tokens it had attended, the rows say what is held."""

    def __init__(self, rows: Rows, slots: int) -> None:
        self._rows = rows
        self._reads: NDArray[np.int64] = np.zeros(slots, np.int64)

    def attended(self, slots: NDArray[np.int64], tokens_nk: NDArray[np.integer]) -> None:
        """Attention over one layer attended `tokens_nk[i, h]` KV tokens of KV head h of sequence `slots[i]`."""
        self._reads[slots] += tokens_nk.sum(axis=1, dtype=np.int64)

    def take(self, slots: NDArray[np.int64]) -> StepCounts:
        """The counts of the step that just ran; the next step starts from zero."""
        counts = StepCounts(self._reads[slots], self._rows.live(slots), self._rows.own[slots])
        self._reads[slots] = 0
        return counts

    def clear(self) -> None:
        """Forget a step that broke off."""
        self._reads[:] = 0


class LengthCounts(NamedTuple):
    """What a vanilla cache reads and holds of one thread; fields as in `engines.base.Chain`."""

    step_reads: NDArray[np.int64]
    step_live: NDArray[np.int64]
    step_pages: NDArray[np.int64]
    row_live: NDArray[np.int64]
    page_shared: NDArray[np.int64]


def from_lengths(
    prompt: int, generated: int, rows: int, page_size: int = PAGE_SIZE, shared: int | None = None
) -> LengthCounts:
    """The counts of a vanilla chain, for engines whose cache cannot be looked into: its lengths alone decide them.

    `rows` is layers x KV heads, `shared` how many tokens of the prompt lie in whole pages that its threads share
    (default: all whole pages of the prompt). A page that the prompt ends within is copied by the first step.
    """
    lengths = prompt + np.arange(1, generated + 1, dtype=np.int64)
    common = (prompt if shared is None else shared) // page_size
    kept = np.arange(-(-prompt // page_size)) < common
    return LengthCounts(
        step_reads=lengths * rows,
        step_live=lengths * rows,
        step_pages=(-(-lengths // page_size) - common) * rows,
        row_live=np.full(rows, prompt + generated, np.int64),
        page_shared=np.tile(np.where(kept, generated, 0).astype(np.int64), rows),
    )
