"""Quest's bounds of every page, the channel-wise maximum and minimum of its keys, and the choice of pages by them.

A page is `page_size` tokens of a row, one or more blocks of the pool. Its bounds are taken when it fills: a full page
never changes again, so forks share its bounds with it, and blocks that are used again get new bounds before they are
read. The newest page needs none, because it is always attended.

No token of a page scores above sum over d of max(q_d max_d, q_d min_d), which is one product of 2 x head_dim
numbers: max(q, 0) . max + min(q, 0) . min.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.hardware.jit import FASTMATH, bits, compiled, to_float
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.kvcache.block_table import BlockTable

BOUNDS_TOKENS = 1
"""Memory of the bounds beside each block of the pool, in KV tokens: a maximum and a minimum for a key and a value."""


@compiled()
def _greatest(scores_p, chosen_c):  # type: ignore[no-untyped-def]
    """Find the indices of the greatest scores, ascending; of equal ones the first."""
    count = len(chosen_c)
    least = np.partition(scores_p, len(scores_p) - count)[len(scores_p) - count]
    ties = count
    for score in scores_p:
        ties -= score > least
    c = 0
    for p in range(len(scores_p)):
        tied = scores_p[p] == least and ties > 0
        if scores_p[p] > least or tied:
            ties -= tied
            chosen_c[c] = p
            c += 1


@compiled(parallel=True, fastmath=FASTMATH)
def _best(q_nkgc, bounds_bc, block_table, seqs, scored_n, m, chosen_nkgc):  # type: ignore[no-untyped-def]
    """Choose the pages of every query head, rows in parallel; bounds as their bits, each read once for all heads."""
    n, kv_heads, group = q_nkgc.shape[:3]
    for j in prange(n * kv_heads):
        i, h = j // kv_heads, j % kv_heads
        scores_gp = np.empty((group, scored_n[i]), np.float32)
        for p in range(scored_n[i]):
            bounds_c = bounds_bc[block_table[seqs[i], h, (p + 1) * m - 1]]
            for g in range(group):
                score = np.float32(0)
                for c in range(len(bounds_c)):
                    score += q_nkgc[i, h, g, c] * to_float(bounds_c[c])
                # A broken model gives NaN, which has no order.
                scores_gp[g, p] = score if score == score else np.float32(-np.inf)
        for g in range(group):
            _greatest(scores_gp[g], chosen_nkgc[i, h, g])


class PageBounds:
    """Bounds of the full pages of every row. All KV heads of a sequence hold equally many tokens."""

    def __init__(self, table: BlockTable, page_size: int) -> None:
        self._table, self._page_size, self._m = table, page_size, page_size // BLOCK_SIZE
        # Indexed by the last block of a page: forks may share the others and go on differently.
        # In the dtype of the keys, from which the bounds are taken. Never read before it is written.
        self._bounds_b2d = torch.empty(table.blocks, 2, table.head_dim, dtype=table.dtype, device=table.device)
        self.quick = table.device.type == "cpu" and table.dtype in (torch.float32, torch.bfloat16)
        """Whether the compiled choice serves this table."""

    def extended(self, layer: int, seq: int, before: int) -> None:
        """Take the bounds of the pages that a prefill from `before` tokens on has filled."""
        first, last = before // self._page_size, int(self._table.lengths[layer, seq, 0]) // self._page_size
        if last > first:
            self._take(self._table.block_table[layer, seq, :, first * self._m : last * self._m].reshape(-1, self._m))

    def appended(self, layer: int, seqs: NDArray[np.int64]) -> None:
        """Take the bounds of the pages that one more token has filled."""
        lengths_n = self._table.lengths[layer, seqs, 0]
        full = lengths_n % self._page_size == 0
        if full.any():
            ends_n = lengths_n[full] // BLOCK_SIZE
            entries_nm = ends_n[:, None] + np.arange(-self._m, 0)
            # Numpy puts the axes that are indexed by arrays first: (n, m, k).
            blocks_nmk = self._table.block_table[layer, seqs[full][:, None], :, entries_nm]
            self._take(blocks_nmk.swapaxes(1, 2).reshape(-1, self._m))

    def best(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, count: int) -> NDArray[np.int32]:
        """Choose the `count` pages of each query head with the highest bound on a score, the newest not among them.

        Returns chosen_nhc, ascending; of pages that score the same the first. Every sequence has more than `count`
        pages beside the newest.
        """
        (n, heads, _), kv_heads = q_nhd.shape, self._table.kv_heads
        scored_n = (self._table.lengths[layer, seqs, 0] - 1) // self._page_size
        assert (scored_n > count).all()
        if not count:
            return np.empty((n, heads, 0), np.int32)
        q_nhc = torch.cat([q_nhd.clamp(min=0), q_nhd.clamp(max=0)], dim=-1).float()
        q_nkgc = q_nhc.view(n, kv_heads, heads // kv_heads, -1)
        if not self.quick:
            return self._best_in_torch(layer, seqs, q_nkgc, scored_n, count).reshape(n, heads, count)
        chosen_nkgc = np.empty((n, kv_heads, heads // kv_heads, count), np.int32)
        bounds_bc = bits(self._bounds_b2d).reshape(len(self._bounds_b2d), -1)
        _best(q_nkgc.numpy(), bounds_bc, self._table.block_table[layer], seqs, scored_n, self._m, chosen_nkgc)
        return chosen_nkgc.reshape(n, heads, count)

    def _best_in_torch(
        self, layer: int, seqs: NDArray[np.int64], q_nkgc: Tensor, scored_n: NDArray[np.integer], count: int
    ) -> NDArray[np.int32]:
        device, most = self._table.device, int(scored_n.max())
        blocks_nkp = self._table.block_table[layer, seqs][:, :, self._m - 1 :: self._m][:, :, :most]
        bounds_nkpc = self._bounds_b2d[_index(blocks_nkp, device)].flatten(3).float()
        scores_nkgp = q_nkgc @ bounds_nkpc.transpose(-1, -2)
        past_np = torch.arange(most, device=device) >= _index(scored_n, device)[:, None]
        scores_nkgp = scores_nkgp.masked_fill(past_np[:, None, None] | scores_nkgp.isnan(), -torch.inf)
        order = scores_nkgp.sort(dim=-1, descending=True, stable=True).indices[..., :count]
        chosen: NDArray[np.int32] = order.sort(dim=-1).values.to(torch.int32).cpu().numpy()
        return chosen

    def _take(self, blocks_xm: NDArray[np.int32]) -> None:
        index_xm = _index(blocks_xm, self._table.device)
        k_xtd = self._table.k_btd[index_xm].flatten(1, 2)
        self._bounds_b2d[index_xm[:, -1]] = torch.stack([k_xtd.amax(1), k_xtd.amin(1)], dim=1)


def _index(numbers: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(device)
