"""H2O (Zhang et al., 2023): recent tokens, and heavy hitters by the attention that they have gathered so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import attention_mass
from hyperscale.backends.base import Parts
from hyperscale.backends.bounded import Bounded, Protection, least
from hyperscale.hardware.jit import FASTMATH, compiled

HALF = -1


@dataclass(frozen=True)
class H2OSettings(Protection):
    """Half of the budget for recent tokens, half for heavy hitters."""

    recent_window: int = HALF
    """The last tokens of the sequence, the newest included, which are never given up; -1: B - B // 2."""

    def __post_init__(self) -> None:
        if self.recent_window < HALF:
            raise ValueError(f"recent_window is {self.recent_window}: expected a number of tokens, or -1 for half of B")
        if self.sink_tokens < 0:
            raise ValueError(f"sink_tokens is {self.sink_tokens}: expected a number of tokens, 0 or more")


class H2O(Bounded):
    """Per KV head, give up the token outside the recent window that has been attended least.

    A token's score is the sum of the attention on it over all queries so far, its own and the prompt's included,
    and over the query heads of its group (their mean orders tokens the same). Ties go to the lowest slot of the row.
    """

    name = "h2o"
    frees = "memory and reads: every row holds at most B tokens"
    Settings = H2OSettings

    def __init__(self, parts: Parts, settings: Any = None) -> None:
        super().__init__(parts, settings)
        self.mass: NDArray[np.float32] = np.zeros(self.positions.shape, np.float32)
        """Attention gathered by the token in each place of a row."""

    @classmethod
    def recent_window(cls, settings: Any, budget: int) -> int:
        """Half of the budget, rounded up, unless the settings say otherwise."""
        return budget - budget // 2 if settings.recent_window == HALF else super().recent_window(settings, budget)

    def fork(self, source: int, slot: int, key: int) -> None:
        """Copy what each place has gathered."""
        super().fork(source, slot, key)
        self._copy(self.mass, source, slot)

    def prefilled(self, layer: int, slot: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Add the attention of a piece's queries."""
        t, s = len(q_thd), len(k_skd)
        gathered = self.mass[layer, slot]
        gathered[:, s - t : s] = 0
        gathered[:, :s] += attention_mass(q_thd, k_skd).cpu().numpy()
        if s == self.room:
            slots = np.array([slot], np.int64)
            self._gather(layer, slots, np.zeros((1, self.rows.kv_heads, s), np.float32))

    def decode(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Store, attend, add up, and choose what the next token overwrites."""
        places_nk = self.put(layer, slots, k_nkd, v_nkd)
        self.mass[layer][slots[:, None], np.arange(self.rows.kv_heads), places_nk] = 0
        out_nhd, mass_nkt = self.attend_weighed(layer, slots, q_nhd)
        self._gather(layer, slots, mass_nkt)
        return out_nhd

    def _gather(self, layer: int, slots: NDArray[np.int64], mass_nkt: NDArray[np.float32]) -> None:
        books = self.rows.lengths[layer], self.room, self.seen[layer], self.positions[layer], self.first, self.recent
        _gather(mass_nkt, slots, self.mass[layer], *books, self.victims[layer])


@compiled(parallel=True, fastmath=FASTMATH)
def _gather(  # type: ignore[no-untyped-def]
    mass_nkt, slots, gathered, lengths, room, seen, positions, first, recent, victims
):
    kv_heads = mass_nkt.shape[1]
    for j in prange(slots.shape[0] * kv_heads):
        i, h = j // kv_heads, j % kv_heads
        s = slots[i]
        for t in range(lengths[s, h]):
            gathered[s, h, t] += mass_nkt[i, h, t]
        if lengths[s, h] == room:
            # The next token's position is seen[s]: of the last `recent`, it included, none is given up.
            victims[s, h] = least(gathered[s, h], positions[s, h], room, first[s], seen[s] - recent + 1)
