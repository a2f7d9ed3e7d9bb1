"""Dense causal attention over packed sequences, for training and checks: differentiable, no cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperscale.model.decoder import Attend


def causal_attend(lengths: Sequence[int]) -> Attend:
    """Attend for whole sequences of `lengths` tokens that follow each other in flat order."""

    def attend(layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        parts = zip(*(x.split(list(lengths)) for x in (q_nhd, k_nkd, v_nkd)), strict=True)
        return torch.cat([_causal(*part) for part in parts])

    return attend


def _causal(q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
    q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q_nhd, k_nkd, v_nkd))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])
    return out.squeeze(0).transpose(0, 1)
