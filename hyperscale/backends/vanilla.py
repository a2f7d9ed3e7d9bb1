"""The uncompressed cache: every token stays and is attended at every step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import Backend, dense_prefill


class Vanilla(Backend):
    """Keep everything."""

    name = "vanilla"
    frees = "nothing: the baseline"
    overwrites = False

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Do nothing: there is no state."""

    def prefill(self, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Attend densely and causally to all tokens so far."""
        return dense_prefill(self.table, layer, seq, q_thd, k_tkd, v_tkd)[0]

    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Append, then attend the whole row."""
        self.table.append(layer, seqs, k_nkd, v_nkd)
        return self.attend(layer, seqs, q_nhd)
