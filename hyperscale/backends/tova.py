"""TOVA (Oren et al., 2024): evict the token that the last query attends least, one for all KV heads of a layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import attention_mass
from hyperscale.backends.bounded import Bounded, BoundedState
from hyperscale.backends.least import least
from hyperscale.hardware.jit import FASTMATH, compiled


class Tova(Bounded):
    """Evict the token with the least attention of the last query, summed over all query heads of the layer.

    The newest token may be evicted one step after its own, as in the authors' code; `recent_window=2` rules that out.
    Ties go to the lowest place of the row.
    """

    name = "tova"
    frees = "memory and reads: every row holds at most B tokens"
    sets = 1

    def prefilled(self, layer: int, seq: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Choose the first victim by the last query of a prompt that fills the budget."""
        if len(k_skd) == self.room:
            mass_1ks = attention_mass(q_thd[-1:], k_skd)[None].cpu().numpy()
            _choose(mass_1ks, np.array([seq], np.int64), *self.state[layer])

    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Store, attend, and choose the place that the next token overwrites."""
        self.put(layer, seqs, k_nkd, v_nkd)
        out_nhd, mass_nkt = self.attend_weighed(layer, seqs, q_nhd)
        _choose(mass_nkt, seqs, *self.state[layer])
        return out_nhd


@compiled(fastmath=FASTMATH)
def _choose(mass_nkt, seqs, *fields):  # type: ignore[no-untyped-def]
    """Name one victim for all KV heads of each full sequence."""
    state = BoundedState(*fields)
    room = state.room
    for i in range(seqs.shape[0]):
        s = seqs[i]
        if state.lengths[s, 0] == room:
            total_t = mass_nkt[i, 0, :room].copy()
            for k in range(1, mass_nkt.shape[1]):
                for t in range(room):
                    total_t[t] += mass_nkt[i, k, t]
            # The next token's position is seen[s]: it and the last recent - 1 tokens before it are protected.
            until = state.seen[s] - state.recent + 1
            state.victims[s, :] = least(total_t, state.positions[s, 0], room, state.first[s], until)
