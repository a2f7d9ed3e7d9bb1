"""Decode attention in plain torch: gathers every row's pages side by side and masks what lies past its end.

Runs wherever torch does; its cost follows the longest row. It serves devices and types that have no kernel.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_table import PAGE_SIZE, Rows, pages_for


class GatheredAttention:
    """Decode attention for rows on any device, in any floating type; arithmetic in fp32."""

    def __init__(self, rows: Rows, heads: int) -> None:
        self.rows = rows

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, self.rows.table[layer, slots], self.rows.lengths[layer, slots])[0]

    def weighed(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """As a call, with the attention on each slot, mass_nkt."""
        lengths_nk = self.rows.lengths[layer, slots]
        out_nhd, weights_nkgt = self._run(q_nhd, self.rows.table[layer, slots], lengths_nk)
        mass_nkt: NDArray[np.float32] = weights_nkgt.sum(2)[..., : int(lengths_nk.max())].cpu().numpy()
        return out_nhd, mass_nkt

    def selected(self, q_nhd: Tensor, pages_nhp: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to pages of its own. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, pages_nhp, lengths_nh)[0]

    def _run(self, q_nhd: Tensor, pages_nrp: NDArray[np.int32], lengths_nr: NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        rows, (n, heads, head_dim) = self.rows, q_nhd.shape
        used, r = pages_for(int(lengths_nr.max())), lengths_nr.shape[1]
        pages = torch.from_numpy(pages_nrp[:, :, :used].astype(np.int64)).to(rows.device)
        shape = (n, r, used * PAGE_SIZE, head_dim)
        k_nrtd, v_nrtd = (pool[pages].reshape(shape).float() for pool in (rows.k_ptd, rows.v_ptd))
        past_nrt = torch.arange(used * PAGE_SIZE) >= torch.from_numpy(lengths_nr)[..., None]
        past_nrt = past_nrt.to(rows.device)
        q_nrgd = q_nhd.float().reshape(n, r, -1, head_dim)
        scores_nrgt = (q_nrgd @ k_nrtd.transpose(-1, -2)) / math.sqrt(head_dim)
        weights_nrgt = scores_nrgt.masked_fill(past_nrt[:, :, None], -torch.inf).softmax(-1)
        out = weights_nrgt @ v_nrtd.masked_fill(past_nrt[..., None], 0.0)
        return out.reshape(n, heads, head_dim).to(q_nhd.dtype), weights_nrgt
