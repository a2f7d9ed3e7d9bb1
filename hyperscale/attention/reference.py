"""Decode attention in plain torch: gathers every row's pages side by side and masks what lies past its end.

Runs wherever torch does; its cost follows the longest row. It serves devices and types that have no kernel.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.rows import PAGE_SIZE, Rows, pages_for


class GatheredAttention:
    """Decode attention for rows on any device, in any floating type; arithmetic in fp32."""

    def __init__(self, rows: Rows, heads: int) -> None:
        self.rows, self.group = rows, heads // rows.kv_heads

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        rows, (n, heads, head_dim) = self.rows, q_nhd.shape
        lengths_nk = rows.lengths[layer, slots]
        used = pages_for(int(lengths_nk.max()))
        pages = torch.from_numpy(rows.table[layer, slots, :, :used].astype(np.int64)).to(rows.device)
        shape = (n, rows.kv_heads, used * PAGE_SIZE, head_dim)
        k_nktd, v_nktd = (pool[pages].reshape(shape).float() for pool in (rows.k_ptd, rows.v_ptd))
        past_nkt = torch.arange(used * PAGE_SIZE) >= torch.from_numpy(lengths_nk)[..., None]
        past_nkt = past_nkt.to(rows.device)
        q_nkgd = q_nhd.float().reshape(n, rows.kv_heads, self.group, head_dim)
        scores_nkgt = (q_nkgd @ k_nktd.transpose(-1, -2)) / math.sqrt(head_dim)
        weights_nkgt = scores_nkgt.masked_fill(past_nkt[:, :, None], -torch.inf).softmax(-1)
        out = weights_nkgt @ v_nktd.masked_fill(past_nkt[..., None], 0.0)
        return out.reshape(n, heads, head_dim).to(q_nhd.dtype)
