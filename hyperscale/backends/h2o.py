"""H2O (Zhang et al., 2023): keep recent tokens, and heavy hitters by the attention gathered so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import attention_mass
from hyperscale.backends.base import PolicyContext
from hyperscale.backends.bounded import Bounded, BoundedState, Protection
from hyperscale.backends.least import least
from hyperscale.hardware.jit import FASTMATH, compiled

HALF = -1


@dataclass(frozen=True)
class H2OSettings(Protection):
    """Settings of H2O: by default half of the budget for recent tokens, half for heavy hitters."""

    recent_window: int = HALF
    """The last tokens of the sequence, the newest included, which are never evicted; -1: B - B // 2."""

    def __post_init__(self) -> None:
        if self.recent_window < HALF:
            raise ValueError(f"recent_window is {self.recent_window}: expected a number of tokens, or -1 for half of B")
        if self.sink_tokens < 0:
            raise ValueError(f"sink_tokens is {self.sink_tokens}: expected a number of tokens, 0 or more")


class H2O(Bounded):
    """Evict, per KV head, the token outside the recent window that has been attended least.

    A token's score is the sum of the attention on it over all queries so far, its own and the prompt's included,
    and over the query heads of its group (their mean orders tokens the same). Ties go to the lowest place of the row.
    """

    name = "h2o"
    frees = "memory and reads: every row holds at most B tokens"
    Settings = H2OSettings

    def __init__(self, context: PolicyContext, settings: Any = None) -> None:
        super().__init__(context, settings)
        self.mass: NDArray[np.float32] = np.zeros(self.positions.shape, np.float32)
        """(layers, seqs, kv_heads, places): attention gathered by the token in each place."""

    @classmethod
    def recent_window(cls, settings: Any, budget: int) -> int:
        """Take half of the budget, rounded up, unless the settings say otherwise."""
        return budget - budget // 2 if settings.recent_window == HALF else super().recent_window(settings, budget)

    def fork(self, source: int, seq: int, key: int) -> None:
        """Copy the gathered attention, too."""
        super().fork(source, seq, key)
        self._copy(self.mass, source, seq)

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Spread the gathered attention at random."""
        super().assume(seqs, tokens)
        held = min(tokens, self.room)
        self.mass[:, seqs, :, :held] = np.random.default_rng(0).random(held, np.float32)

    def prefilled(self, layer: int, seq: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Add the attention of a piece's queries."""
        t, s = len(q_thd), len(k_skd)
        gathered = self.mass[layer, seq]
        gathered[:, s - t : s] = 0
        gathered[:, :s] += attention_mass(q_thd, k_skd).cpu().numpy()
        if s == self.room:
            nothing_1ks = np.zeros((1, self.table.kv_heads, s), np.float32)
            _gather(nothing_1ks, np.array([seq], np.int64), self.mass[layer], *self.state[layer])

    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Store, attend, add up, and choose the places that the next token overwrites."""
        places_nk = self.put(layer, seqs, k_nkd, v_nkd)
        self.mass[layer][seqs[:, None], np.arange(self.table.kv_heads), places_nk] = 0
        out_nhd, mass_nkt = self.attend_weighed(layer, seqs, q_nhd)
        _gather(mass_nkt, seqs, self.mass[layer], *self.state[layer])
        return out_nhd


@compiled(parallel=True, fastmath=FASTMATH)
def _gather(mass_nkt, seqs, gathered, *fields):  # type: ignore[no-untyped-def]
    """Add a step's attention to each place, and name the victims of full rows; rows in parallel."""
    # numba's parallel loops take arrays, not structs.
    state = BoundedState(*fields)
    lengths, seen, first, positions, victims = state.lengths, state.seen, state.first, state.positions, state.victims
    room, recent, kv_heads = state.room, state.recent, mass_nkt.shape[1]
    for j in prange(seqs.shape[0] * kv_heads):
        i, k = j // kv_heads, j % kv_heads
        s = seqs[i]
        for t in range(lengths[s, k]):
            gathered[s, k, t] += mass_nkt[i, k, t]
        if lengths[s, k] == room:
            # The next token's position is seen[s]: it and the last recent - 1 tokens before it are protected.
            victims[s, k] = least(gathered[s, k], positions[s, k], room, first[s], seen[s] - recent + 1)
