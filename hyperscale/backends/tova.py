"""TOVA (Oren et al., 2024): the token that the last query attends least goes, one for all KV heads of a layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import attention_mass
from hyperscale.backends.bounded import Bounded, least
from hyperscale.hardware.jit import FASTMATH, compiled


class Tova(Bounded):
    """Give up the token with the least attention of the last query, summed over all query heads of the layer.

    The newest token may be given up one step after its own, as in the authors' code; `recent_window=2` rules that
    out. Ties go to the lowest slot of the row.
    """

    name = "tova"
    frees = "memory and reads: every row holds at most B tokens"
    sets = 1

    def prefilled(self, layer: int, slot: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """The last query of a prompt that fills the budget chooses the first victim."""
        if len(k_skd) == self.room:
            mass_1ks = attention_mass(q_thd[-1:], k_skd)[None].cpu().numpy()
            self._choose(layer, np.array([slot], np.int64), mass_1ks)

    def decode(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Store, attend, and choose what the next token overwrites."""
        self.put(layer, slots, k_nkd, v_nkd)
        out_nhd, mass_nkt = self.attend_weighed(layer, slots, q_nhd)
        self._choose(layer, slots, mass_nkt)
        return out_nhd

    def _choose(self, layer: int, slots: NDArray[np.int64], mass_nkt: NDArray[np.float32]) -> None:
        lengths, seen, positions = self.rows.lengths[layer], self.seen[layer], self.positions[layer]
        _choose(mass_nkt, slots, lengths, self.room, seen, positions, self.first, self.recent, self.victims[layer])


@compiled(fastmath=FASTMATH)
def _choose(mass_nkt, slots, lengths, room, seen, positions, first, recent, victims):  # type: ignore[no-untyped-def]
    for i in range(slots.shape[0]):
        s = slots[i]
        if lengths[s, 0] == room:
            total_t = mass_nkt[i, 0, :room].copy()
            for h in range(1, mass_nkt.shape[1]):
                for t in range(room):
                    total_t[t] += mass_nkt[i, h, t]
            # The next token's position is seen[s]: of the last `recent`, it included, none is given up.
            victims[s, :] = least(total_t, positions[s, 0], room, first[s], seen[s] - recent + 1)
