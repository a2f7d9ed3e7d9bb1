"""The one definition of KV reads, live tokens and blocks: counted where attention ran and where tokens are held.

A *KV token* is the key and value of one token in one KV head of one layer. Counts are exact integers, summed over the
layers and KV heads of a sequence; reports divide by layers x KV heads. Prefill is not counted as reads. A block that
several threads share is held once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.kvcache.block_table import BlockTable


class StepCounts(NamedTuple):
    """Counts of one decode step, one entry a sequence, summed over layers and KV heads."""

    reads: NDArray[np.int64]
    """KV tokens attended in the step."""
    live: NDArray[np.int64]
    """KV tokens held after the step."""
    blocks: NDArray[np.int64]
    """Blocks held after the step that are the sequence's own."""


class Meter:
    """Counts of the current decode step: backends report reads, the block table says what is held."""

    def __init__(self, table: BlockTable, seqs: int) -> None:
        self._table = table
        self._reads: NDArray[np.int64] = np.zeros(seqs, np.int64)

    def attended(self, seqs: NDArray[np.int64], tokens_nk: NDArray[np.integer]) -> None:
        """Count `tokens_nk[i, k]` KV tokens attended in one layer by sequence `seqs[i]`, KV head k."""
        self._reads[seqs] += tokens_nk.sum(axis=1, dtype=np.int64)

    def take(self, seqs: NDArray[np.int64]) -> StepCounts:
        """Return the counts of the step that just ran, and start the next one from zero."""
        counts = StepCounts(self._reads[seqs], self._table.live(seqs), self._table.own[seqs])
        self._reads[seqs] = 0
        return counts

    def clear(self) -> None:
        """Forget an unfinished step."""
        self._reads[:] = 0


class LengthCounts(NamedTuple):
    """Reads and holdings of one thread under a vanilla cache; fields as in `engines.base.Chain`."""

    step_reads: NDArray[np.int64]
    step_live: NDArray[np.int64]
    step_pages: NDArray[np.int64]
    row_live: NDArray[np.int64]
    page_shared: NDArray[np.int64]


def from_lengths(
    prompt: int, generated: int, rows: int, block_size: int = BLOCK_SIZE, shared: int | None = None
) -> LengthCounts:
    """Compute the counts of a vanilla chain from its lengths, for engines whose cache cannot be inspected.

    `rows` is layers x KV heads; `shared` is how many prompt tokens lie in whole blocks that the threads share (default:
    all whole blocks of the prompt). The first step copies a block that the prompt ends within.
    """
    lengths = prompt + np.arange(1, generated + 1, dtype=np.int64)
    common = (prompt if shared is None else shared) // block_size
    kept = np.arange(-(-prompt // block_size)) < common
    return LengthCounts(
        step_reads=lengths * rows,
        step_live=lengths * rows,
        step_pages=(-(-lengths // block_size) - common) * rows,
        row_live=np.full(rows, prompt + generated, np.int64),
        page_shared=np.tile(np.where(kept, generated, 0).astype(np.int64), rows),
    )
