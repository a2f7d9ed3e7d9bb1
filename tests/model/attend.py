"""Dense causal attention over packed sequences: no cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hyperscale.attention.prompt import causal_attention
from hyperscale.model.decoder import Attend


def causal_attend(lengths: Sequence[int]) -> Attend:
    """Attend for whole sequences of `lengths` tokens that follow each other in flat order."""

    def attend(layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        parts = zip(*(x.split(list(lengths)) for x in (q_nhd, k_nkd, v_nkd)), strict=True)
        return torch.cat([causal_attention(*part) for part in parts])

    return attend
