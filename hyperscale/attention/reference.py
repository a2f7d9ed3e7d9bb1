"""Decode attention in plain torch, for devices and dtypes that have no kernel.

Gathers every row's blocks side by side and masks the places past its end; cost follows the longest row.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_pool import BLOCK_SIZE, blocks_for
from hyperscale.kvcache.block_table import BlockTable


class GatheredAttention:
    """Decode attention for a table on any device, in any floating dtype; arithmetic in fp32."""

    def __init__(self, table: BlockTable, heads: int) -> None:
        self.table = table

    def __call__(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows hold. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, self.table.block_table[layer, seqs], self.table.lengths[layer, seqs])[0]

    def weighed(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """Attend as a call does, and return the attention on each place, mass_nkt."""
        lengths_nk = self.table.lengths[layer, seqs]
        out_nhd, weights_nkgt = self._run(q_nhd, self.table.block_table[layer, seqs], lengths_nk)
        mass_nkt: NDArray[np.float32] = weights_nkgt.sum(2)[..., : int(lengths_nk.max())].cpu().numpy()
        return out_nhd, mass_nkt

    def selected(self, q_nhd: Tensor, blocks_nhb: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to blocks of its own. Returns out_nhd in q's dtype."""
        return self._run(q_nhd, blocks_nhb, lengths_nh)[0]

    def _run(
        self, q_nhd: Tensor, blocks_nrb: NDArray[np.int32], lengths_nr: NDArray[np.int32]
    ) -> tuple[Tensor, Tensor]:
        table, (n, heads, head_dim) = self.table, q_nhd.shape
        used, r = blocks_for(int(lengths_nr.max())), lengths_nr.shape[1]
        blocks = torch.from_numpy(blocks_nrb[:, :, :used].astype(np.int64)).to(table.device)
        shape = (n, r, used * BLOCK_SIZE, head_dim)
        k_nrtd, v_nrtd = (pool_btd[blocks].reshape(shape).float() for pool_btd in (table.k_btd, table.v_btd))
        past_nrt = torch.arange(used * BLOCK_SIZE) >= torch.from_numpy(lengths_nr)[..., None]
        past_nrt = past_nrt.to(table.device)
        q_nrgd = q_nhd.float().reshape(n, r, -1, head_dim)
        scores_nrgt = (q_nrgd @ k_nrtd.transpose(-1, -2)) / math.sqrt(head_dim)
        weights_nrgt = scores_nrgt.masked_fill(past_nrt[:, :, None], -torch.inf).softmax(-1)
        out = weights_nrgt @ v_nrtd.masked_fill(past_nrt[..., None], 0.0)
        return out.reshape(n, heads, head_dim).to(q_nhd.dtype), weights_nrgt
