"""What a decode-attention kernel takes and gives."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.kvcache.block_table import Rows


class DecodeAttention(Protocol):
    """Softmax attention of one query a sequence over ragged rows; scores are scaled by 1/sqrt(head_dim)."""

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows of `layer` hold. Returns out_nhd."""
        ...

    def weighed(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> tuple[Tensor, NDArray[np.float32]]:
        """As a call, with mass_nkt on the host: attention on slot t of a row, summed over the heads of its group.

        t runs to the longest row of `slots`; 0 past a row's end.
        """
        ...

    def selected(self, q_nhd: Tensor, pages_nhp: NDArray[np.int32], lengths_nh: NDArray[np.int32]) -> Tensor:
        """Attend each query head to pages of its own: the first `lengths_nh` tokens of `pages_nhp`, page by page.

        All pages of a head but the last are full. Returns out_nhd.
        """
        ...


def decode_attention(rows: Rows, heads: int) -> DecodeAttention:
    """The quickest kernel for where and how these rows are stored."""
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16):
        from hyperscale.attention.cpu import CpuAttention

        return CpuAttention(rows, heads)
    if rows.device.type == "cuda" and rows.head_dim <= 256 and _runs_triton(rows.device):
        from hyperscale.attention.gpu import GpuAttention

        return GpuAttention(rows, heads)
    from hyperscale.attention.reference import GatheredAttention

    return GatheredAttention(rows, heads)


def _runs_triton(device: torch.device) -> bool:
    """Whether Triton is installed and compiles for this GPU, which must be NVIDIA's of compute capability 8.0 or up."""
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        import_module("triton")
    except ImportError:
        return False
    return True
