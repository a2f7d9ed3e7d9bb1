"""The control: what any choice of victims must be better than."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import Parts
from hyperscale.backends.bounded import Bounded
from hyperscale.hardware.jit import compiled


class Random(Bounded):
    """Per KV head, give up one of the tokens held, each as likely as the others.

    Draws are hashes of the sequence's key, the layer, the KV head and the position of the token that needs the
    place: neither the batch nor the order of work changes them, and threads of one prompt draw each their own.
    """

    name = "random"
    frees = "memory and reads: every row holds at most B tokens"

    def __init__(self, parts: Parts, settings: Any = None) -> None:
        super().__init__(parts, settings)
        self.keys: NDArray[np.uint64] = np.zeros(len(self.first), np.uint64)

    def begin(self, slot: int, key: int) -> None:
        """A prompt draws with a key of its own."""
        super().begin(slot, key)
        self.keys[slot] = key

    def fork(self, source: int, slot: int, key: int) -> None:
        """From here on the thread's key counts."""
        super().fork(source, slot, key)
        self.keys[slot] = key

    def prefilled(self, layer: int, slot: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Attention does not matter."""

    def decode(self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Draw, store, attend."""
        lengths, seen, positions = self.rows.lengths[layer], self.seen[layer], self.positions[layer]
        books = slots, lengths, self.room, seen, positions, self.first, self.recent, self.victims[layer]
        _draw(self.keys, layer, *books)
        self.put(layer, slots, k_nkd, v_nkd)
        return self.attend(layer, slots, q_nhd)


@compiled(inline="always")
def _mix(x):  # type: ignore[no-untyped-def]
    """One step of splitmix64: a 64-bit number whose every bit depends on every bit of x."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled()
def _draw(keys, layer, slots, lengths, room, seen, positions, first, recent, victims):  # type: ignore[no-untyped-def]
    """A victim of each full row: places are drawn until one may be given up."""
    for s in slots:
        # The arriving token's position is seen[s]: of the last `recent`, it included, none is given up.
        last = seen[s] - recent
        for h in range(victims.shape[1]):
            if lengths[s, h] == room:
                draw = _mix(_mix(_mix(keys[s] ^ np.uint64(layer)) ^ np.uint64(h)) ^ np.uint64(seen[s]))
                # What is protected at the start was stored first and lies in the first places.
                while True:
                    place = first[s] + np.int64(draw % np.uint64(room - first[s]))
                    if positions[s, h, place] <= last:
                        break
                    draw = _mix(draw)
                victims[s, h] = place
