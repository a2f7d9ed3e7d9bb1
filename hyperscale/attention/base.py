"""What a decode-attention kernel takes and gives."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.rows import Rows


class DecodeAttention(Protocol):
    """Softmax attention of one query a sequence over ragged rows; scores are scaled by 1/sqrt(head_dim)."""

    def __call__(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor) -> Tensor:
        """Attend each sequence's new query to all that its rows of `layer` hold. Returns out_nhd."""
        ...


def decode_attention(rows: Rows, heads: int) -> DecodeAttention:
    """The quickest kernel for where and how these rows are stored."""
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.bfloat16):
        from hyperscale.attention.cpu import CpuAttention

        return CpuAttention(rows, heads)
    from hyperscale.attention.reference import GatheredAttention

    return GatheredAttention(rows, heads)
