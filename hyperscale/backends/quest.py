"""Quest (Tang et al., 2024): every token stays; each query head attends the pages with the highest bounds on a score.

Saves reads; frees no memory, and takes 1/16 more for the bounds. A *page* here is Quest's own: `page_size` tokens of a
row, one or more blocks of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import Backend, PolicyContext, dense_prefill
from hyperscale.backends.page_bounds import BOUNDS_TOKENS, PageBounds
from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_pool import BLOCK_SIZE


@dataclass(frozen=True)
class QuestSettings:
    """Settings of Quest."""

    page_size: int = 16
    """Tokens a page: a multiple of 16. The paper takes max(16, 2 CR)."""
    dense_layers: int = 0
    """First layers that attend everything: 2 in the reference code, none in the paper's text."""
    count_metadata_reads: bool = False
    """Whether the bounds of a page count as one KV token read whenever the page is scored. The paper does not."""

    def __post_init__(self) -> None:
        if self.page_size < BLOCK_SIZE or self.page_size % BLOCK_SIZE:
            raise ValueError(f"page_size must be a multiple of {BLOCK_SIZE} tokens, not {self.page_size}")
        if self.dense_layers < 0:
            raise ValueError(f"dense_layers must be at least 0, not {self.dense_layers}")


@compiled()
def _lay_out(chosen_nhc, block_table, lengths_n, seqs, page_size, blocks_nhb, tokens_nk):  # type: ignore[no-untyped-def]
    """List the blocks that each query head attends, the newest last; count the union of a KV head's group in tokens."""
    n, heads, _ = chosen_nhc.shape
    kv_heads, m = block_table.shape[1], page_size // BLOCK_SIZE
    group = heads // kv_heads
    for i in range(n):
        newest, end = (lengths_n[i] - 1) // page_size, -(-lengths_n[i] // BLOCK_SIZE)
        for k in range(kv_heads):
            row_b = block_table[seqs[i], k]
            seen = np.zeros(newest, np.bool_)
            tokens_nk[i, k] = lengths_n[i] - newest * page_size
            for h in range(k * group, (k + 1) * group):
                at = 0
                for page in chosen_nhc[i, h]:
                    if not seen[page]:
                        seen[page] = True
                        tokens_nk[i, k] += page_size
                    for b in range(page * m, (page + 1) * m):
                        blocks_nhb[i, h, at] = row_b[b]
                        at += 1
                for b in range(newest * m, end):
                    blocks_nhb[i, h, at] = row_b[b]
                    at += 1


class Quest(Backend):
    """Attend the newest page and, for each query head, the other pages with the highest bound on a score.

    A query head attends B // page_size pages; a sequence that has no more is attended whole. Pages that several heads
    of a group attend are read once.
    """

    name = "quest"
    frees = "no memory (bounds of the pages take 1/16 more); saves reads"
    knows_length = True
    overwrites = False
    block_overhead = BOUNDS_TOKENS
    Settings = QuestSettings

    def __init__(self, context: PolicyContext, settings: QuestSettings | None = None) -> None:
        super().__init__(context, settings)
        assert self.budget is not None
        self._page_size = self.settings.page_size
        self._pages = self.budget // self._page_size
        self.bounds = PageBounds(self.table, self._page_size)

    @classmethod
    def check_budget(cls, budget: int | None, settings: QuestSettings) -> None:
        """Raise ValueError if it is less than a page: reads are of whole pages."""
        assert budget is not None
        if budget < settings.page_size:
            raise ValueError(
                f"quest: a budget of {budget} tokens a row is less than a page (page_size {settings.page_size}): raise "
                "--lengths or lower --cr"
            )

    @classmethod
    def row_tokens(cls, length_cap: int, budget: int | None) -> int:
        """Count all tokens: the budget bounds reads alone."""
        return length_cap

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Take the bounds of all full pages."""
        for layer in range(self.table.layers):
            for seq in seqs.tolist():
                self.bounds.extended(layer, seq, 0)

    def prefill(self, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Attend densely and causally to all tokens so far."""
        before = int(self.table.lengths[layer, seq, 0])
        out_thd, _ = dense_prefill(self.table, layer, seq, q_thd, k_tkd, v_tkd)
        self.bounds.extended(layer, seq, before)
        return out_thd

    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Append, then attend the best pages of sequences that have more than a head attends, and all of the others."""
        self.table.append(layer, seqs, k_nkd, v_nkd)
        self.bounds.appended(layer, seqs)
        long = self.table.lengths[layer, seqs, 0] > self._pages * self._page_size
        if layer < self.settings.dense_layers or not long.any():
            return self.attend(layer, seqs, q_nhd)
        if long.all():
            return self._attend_best(layer, seqs, q_nhd)
        out_nhd = torch.empty_like(q_nhd)
        for some, attend in ((long, self._attend_best), (~long, self.attend)):
            index = torch.from_numpy(np.flatnonzero(some)).to(q_nhd.device)
            out_nhd[index] = attend(layer, seqs[some], q_nhd[index])
        return out_nhd

    def _attend_best(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        chosen_nhc = self.bounds.best(layer, seqs, q_nhd, self._pages - 1)
        (n, heads, others), kv_heads = chosen_nhc.shape, self.table.kv_heads
        lengths_n = self.table.lengths[layer, seqs, 0]
        blocks_nhb = np.zeros((n, heads, self._pages * self._page_size // BLOCK_SIZE), np.int32)
        tokens_nk = np.empty((n, kv_heads), np.int64)
        _lay_out(chosen_nhc, self.table.block_table[layer], lengths_n, seqs, self._page_size, blocks_nhb, tokens_nk)
        scored_n = (lengths_n - 1) // self._page_size
        if self.settings.count_metadata_reads and others:
            tokens_nk += scored_n[:, None]
        self.meter.attended(seqs, tokens_nk)
        attended_n = lengths_n - (scored_n - others) * self._page_size
        lengths_nh = np.repeat(attended_n[:, None], heads, axis=1).astype(np.int32)
        return self.attention.selected(q_nhd, blocks_nhb, lengths_nh)
