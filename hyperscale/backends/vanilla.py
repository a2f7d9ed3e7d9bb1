"""The uncompressed cache: every token stays and is attended at every step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.dense import causal_attention
from hyperscale.backends.base import Backend
from hyperscale.backends.rows import PAGE_SIZE, pages_for


class Vanilla(Backend):
    """Keep everything."""

    name = "vanilla"
    frees = "nothing: the baseline"

    def prefill(self, layer: int, slot: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Dense causal attention over all tokens so far."""
        before = int(self.rows.lengths[layer, slot, 0])
        self.rows.extend(layer, slot, k_tkd, v_tkd)
        if before:
            rows = [self.rows.gather(layer, slot, head) for head in range(self.rows.kv_heads)]
            k_tkd, v_tkd = (torch.stack(parts, dim=1) for parts in zip(*rows, strict=True))
        return causal_attention(q_thd, k_tkd, v_tkd)

    def decode(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Append, then attend the whole row."""
        self.rows.append(layer, slots, k_nkd, v_nkd)
        self.meter.attended(slots, self.rows.lengths[layer, slots])
        return self.attention(layer, slots, q_nhd)

    @staticmethod
    def thread_pages(prompt: int, length_cap: int) -> int:
        """All pages of the sequence but those that the prompt fills."""
        return pages_for(length_cap) - prompt // PAGE_SIZE
