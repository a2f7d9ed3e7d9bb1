"""The contract of a decode-attention kernel, and the legend of axis letters.

A tensor's name ends with its axes, one letter each, and an array of a block table carries them in its docstring:

    n  sequences of a batch         d  channels of a head (head_dim)
    h  query heads                  t  tokens: queries of a prompt, or places of a row or block
    k  KV heads                     s  keys that t queries may attend
    g  query heads of a KV head     b  blocks: ids in the pool, or entries of a row's list
    r  rows attended a sequence     p  pages of Quest, of one or more blocks each
    c  channels or query chunks,    m  blocks of a page
       as said where used           v  vocabulary
    i  items of a work list         l  layers
    x  any one axis                 1, 2  an axis of that size

So `q_nhd` holds one query a sequence, `k_btd` is the pool of keys, `mass_nkt` the attention on each place of each row.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_table import BlockTable


class DecodeAttention(Protocol):
    """Softmax attention of one query a sequence over ragged rows, with scores scaled by 1/sqrt(head_dim)."""

    def __call__(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows of `layer` hold. Returns out_nhd."""
        ...

    def weighed(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """Attend as a call does, and return mass_nkt on the host.

        mass_nkt[i, k, t] is the attention on place t of a row, summed over the query heads of its group; t runs to
        the longest row of `seqs`, with 0 past a row's end.
        """
        ...

    def selected(self, q_nhd: Tensor, blocks_nhb: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to the first `lengths_nh` tokens of blocks of its own, `blocks_nhb`, in their order.

        All blocks of a head but the last are full. Returns out_nhd.
        """
        ...


def decode_attention(table: BlockTable, heads: int) -> DecodeAttention:
    """Choose the fastest kernel for the device and the dtype of this table."""
    if table.device.type == "cpu" and table.dtype in (torch.float32, torch.bfloat16):
        from hyperscale.attention.cpu import CpuAttention

        return CpuAttention(table, heads)
    if table.device.type == "cuda" and table.head_dim <= 256 and _runs_triton(table.device):
        from hyperscale.attention.gpu import GpuAttention

        return GpuAttention(table, heads)
    from hyperscale.attention.reference import GatheredAttention

    return GatheredAttention(table, heads)


def _runs_triton(device: torch.device) -> bool:
    """Tell whether Triton is installed and compiles for this GPU: NVIDIA's, compute capability 8.0 or up."""
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        import_module("triton")
    except ImportError:
        return False
    return True
