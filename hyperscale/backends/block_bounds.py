"""What Quest keeps of every page: the channel-wise maximum and minimum of its keys, and the choice made by them.

A page here is `page_size` tokens of a row, one or more pages of the pool. Its bounds are taken when it fills: a
full page never changes again, so forks share its bounds with it, and a page that is used anew gets new ones before
anybody asks. The newest page needs none, because it is always attended.

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
from hyperscale.kvcache.block_table import PAGE_SIZE, Rows

BOUNDS_TOKENS = 1
"""Memory of the bounds beside each page of the pool, in KV tokens: a maximum and a minimum for a key and a value."""


@compiled()
def _greatest(scores_p, chosen_c):  # type: ignore[no-untyped-def]
    """Indices of the greatest scores, ascending; of equal ones the first."""
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
def _best(q_nkgc, bounds_pc, table, slots, scored_n, m, chosen_nkgc):  # type: ignore[no-untyped-def]
    """The choice of every query head, rows in parallel; bounds in their bits, each read once for all heads."""
    n, kv_heads, group = q_nkgc.shape[:3]
    for j in prange(n * kv_heads):
        i, h = j // kv_heads, j % kv_heads
        scores_gp = np.empty((group, scored_n[i]), np.float32)
        for p in range(scored_n[i]):
            bounds_c = bounds_pc[table[slots[i], h, (p + 1) * m - 1]]
            for g in range(group):
                score = np.float32(0)
                for c in range(len(bounds_c)):
                    score += q_nkgc[i, h, g, c] * to_float(bounds_c[c])
                # A model that is broken gives NaN, which has no order.
                scores_gp[g, p] = score if score == score else np.float32(-np.inf)
        for g in range(group):
            _greatest(scores_gp[g], chosen_nkgc[i, h, g])


class PageBounds:
    """Bounds of the full pages of every row. All KV heads of a sequence hold equally many tokens."""

    def __init__(self, rows: Rows, page_size: int) -> None:
        self._rows, self._page_size, self._m = rows, page_size, page_size // PAGE_SIZE
        # By the last page of the pool that a page takes: forks may share the others and go on differently.
        # In the type of the keys, of which the bounds are some. Never read before it is written.
        self._bounds_pbd = torch.empty(rows.pages, 2, rows.head_dim, dtype=rows.dtype, device=rows.device)
        self.quick = rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16)
        """Whether the compiled choice serves these rows."""

    def extended(self, layer: int, slot: int, before: int) -> None:
        """A sequence went on from `before` tokens: take the bounds of the pages that are full since."""
        first, last = before // self._page_size, int(self._rows.lengths[layer, slot, 0]) // self._page_size
        if last > first:
            self._take(self._rows.table[layer, slot, :, first * self._m : last * self._m].reshape(-1, self._m))

    def appended(self, layer: int, slots: NDArray[np.int64]) -> None:
        """Each of these sequences got one token more: take the bounds of the pages that it filled."""
        lengths_n = self._rows.lengths[layer, slots, 0]
        full = lengths_n % self._page_size == 0
        if full.any():
            ends_n = lengths_n[full] // PAGE_SIZE
            places_nm = ends_n[:, None] + np.arange(-self._m, 0)
            # Numpy puts the axes that are indexed by arrays first: (n, m, k).
            pages_nmk = self._rows.table[layer, slots[full][:, None], :, places_nm]
            self._take(pages_nmk.swapaxes(1, 2).reshape(-1, self._m))

    def best(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, count: int) -> NDArray[np.int32]:
        """The `count` pages of each query head with the highest bound on a score, the newest not among them.

        Returns chosen_nhc, ascending; of pages that score the same the first. Every sequence has more than `count`
        pages beside the newest.
        """
        (n, heads, _), kv_heads = q_nhd.shape, self._rows.kv_heads
        scored_n = (self._rows.lengths[layer, slots, 0] - 1) // self._page_size
        assert (scored_n > count).all()
        if not count:
            return np.empty((n, heads, 0), np.int32)
        q_nhc = torch.cat([q_nhd.clamp(min=0), q_nhd.clamp(max=0)], dim=-1).float()
        q_nkgc = q_nhc.view(n, kv_heads, heads // kv_heads, -1)
        if not self.quick:
            return self._best_in_torch(layer, slots, q_nkgc, scored_n, count).reshape(n, heads, count)
        chosen_nkgc = np.empty((n, kv_heads, heads // kv_heads, count), np.int32)
        bounds_pc = bits(self._bounds_pbd).reshape(len(self._bounds_pbd), -1)
        _best(q_nkgc.numpy(), bounds_pc, self._rows.table[layer], slots, scored_n, self._m, chosen_nkgc)
        return chosen_nkgc.reshape(n, heads, count)

    def _best_in_torch(
        self, layer: int, slots: NDArray[np.int64], q_nkgc: Tensor, scored_n: NDArray[np.integer], count: int
    ) -> NDArray[np.int32]:
        device, most = self._rows.device, int(scored_n.max())
        pages_nkp = self._rows.table[layer, slots][:, :, self._m - 1 :: self._m][:, :, :most]
        bounds_nkpc = self._bounds_pbd[_index(pages_nkp, device)].flatten(3).float()
        scores_nkgp = q_nkgc @ bounds_nkpc.transpose(-1, -2)
        past_np = torch.arange(most, device=device) >= _index(scored_n, device)[:, None]
        scores_nkgp = scores_nkgp.masked_fill(past_np[:, None, None] | scores_nkgp.isnan(), -torch.inf)
        order = scores_nkgp.sort(dim=-1, descending=True, stable=True).indices[..., :count]
        chosen: NDArray[np.int32] = order.sort(dim=-1).values.to(torch.int32).cpu().numpy()
        return chosen

    def _take(self, pages_xm: NDArray[np.int32]) -> None:
        index_xm = _index(pages_xm, self._rows.device)
        k_xtd = self._rows.k_ptd[index_xm].flatten(1, 2)
        self._bounds_pbd[index_xm[:, -1]] = torch.stack([k_xtd.amax(1), k_xtd.amin(1)], dim=1)


def _index(numbers: NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(device)
