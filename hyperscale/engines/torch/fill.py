"""Bring sequences into the state after a context without its quadratic prefill: for warm-up and measured steps.

Rows get random keys and values in blocks of their own, a policy its state by `Backend.assume`. Blocks are not shared,
as forks of a prompt share theirs: attention would find them in the processor's caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hyperscale.backends.base import Backend
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.kvcache.block_table import BlockTable

_CHUNK = 4096
"""Blocks whose random numbers are drawn at once."""
SCRATCH = 256
"""Most tokens of a prompt that is prefilled to warm up."""


@dataclass(frozen=True)
class HeldRows:
    """KV tokens that threads were seen to hold, by context and row; or, without contexts, everything."""

    contexts: NDArray[np.int64]
    """Contexts in tokens, ascending."""
    shares: NDArray[np.float64]
    """KV tokens held over tokens seen at each context, mean over rows: 0..1."""
    rows_lk: NDArray[np.float64] | None
    """KV tokens of each row over their mean; None: all alike."""

    def mean(self, tokens: int) -> float:
        """Return the KV tokens of a row after `tokens` tokens; beyond the contexts seen, the nearest one's share."""
        return tokens * float(np.interp(tokens, self.contexts, self.shares))


def row_lengths(mean: float, rows_lk: NDArray[np.float64], least: int, most: int) -> NDArray[np.int32]:
    """Divide `mean` KV tokens a row as `rows_lk` does, each row within `least`..`most`."""
    low, high = 0.0, float(most) / max(float(rows_lk.min()), 1e-9)
    for _ in range(60):  # The mean of clipped rows rises with the scale.
        scale = (low + high) / 2
        if np.clip(scale * rows_lk, least, most).mean() < mean:
            low = scale
        else:
            high = scale
    lengths_lk: NDArray[np.int32] = np.rint(np.clip(high * rows_lk, least, most)).astype(np.int32)
    return lengths_lk


class Filler:
    """Opens filled sequences in an engine's block table. `prefill(seq, tokens)` prefills a real prompt."""

    def __init__(
        self, table: BlockTable, backend: Backend, prefill: Callable[[int, Sequence[int]], object], vocab: int
    ) -> None:
        self._table, self._backend, self._prefill, self._vocab = table, backend, prefill, vocab
        self._random: NDArray[np.bool_] = np.zeros(table.blocks, np.bool_)
        self.assumes = type(backend).assume is not Backend.assume
        """Whether the policy takes on a state; else each sequence is prefilled."""

    def lengths(self, tokens: int, held: HeldRows | None = None) -> NDArray[np.int32]:
        """Return lengths_lk: the KV tokens of each row after `tokens` tokens, as many as a row can have if unknown."""
        least, most = self._backend.row_range(tokens)
        rows_lk = np.ones((self._table.layers, self._table.kv_heads))
        if held is None:
            return np.full(rows_lk.shape, most, np.int32)
        return row_lengths(held.mean(tokens), rows_lk if held.rows_lk is None else held.rows_lk, least, most)

    def fill(self, batch: int, tokens: int, lengths_lk: NDArray[np.int32] | None = None) -> NDArray[np.int64]:
        """Open `batch` sequences in the state after `tokens` tokens, their rows of `lengths_lk`. Returns their seqs."""
        seqs = np.array([self._table.open() for _ in range(batch)], np.int64)
        for seq in seqs.tolist():
            self._backend.begin(seq, seq)
        if not self.assumes:
            self._prefill_each(seqs, tokens)
            return seqs
        self._randomise(self._table.occupy(seqs, self.lengths(tokens) if lengths_lk is None else lengths_lk))
        self._backend.assume(seqs, tokens)
        return seqs

    def scratch(self, prompt: Sequence[int], most: int) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Yield single sequences to warm up on, with their tokens: a prompt prefilled, then `most` tokens filled in.

        Each is closed before the next. A policy that takes on no state is prefilled further instead.
        """
        tokens = list(prompt[:SCRATCH]) if self.assumes else (list(prompt) * SCRATCH)[: min(SCRATCH, most)]
        seqs = np.array([self._table.open()], np.int64)
        self._backend.begin(int(seqs[0]), 0)
        self._prefill(int(seqs[0]), tokens)
        yield seqs, len(tokens)
        self.close(seqs)
        if self.assumes:
            seqs = self.fill(1, most)
            yield seqs, most
            self.close(seqs)

    def close(self, seqs: NDArray[np.int64]) -> None:
        """Close sequences and release their blocks."""
        for seq in seqs.tolist():
            self._table.close(seq)

    def _prefill_each(self, seqs: NDArray[np.int64], tokens: int) -> None:
        rng = np.random.default_rng(0)
        for seq in seqs.tolist():
            self._prefill(seq, rng.integers(0, self._vocab, tokens).tolist())

    def _randomise(self, blocks: NDArray[np.int64]) -> None:
        """Write random keys and values into blocks that had none from here yet."""
        fresh = np.unique(blocks[~self._random[blocks]])
        self._random[fresh] = True
        table = self._table
        shape = min(_CHUNK, len(fresh)), BLOCK_SIZE, table.head_dim
        for pool_btd in (table.k_btd, table.v_btd):
            drawn = torch.randn(shape, device=table.device).to(table.dtype)
            for start in range(0, len(fresh), _CHUNK):
                index = torch.from_numpy(fresh[start : start + _CHUNK]).to(table.device)
                pool_btd[index] = drawn[: len(index)]
