"""The control: random eviction, which any other choice of victims must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import PolicyContext
from hyperscale.backends.bounded import Bounded, BoundedState
from hyperscale.hardware.jit import compiled


class Random(Bounded):
    """Evict, per KV head, one of the tokens held, each as likely as the others.

    Draws are hashes of the sequence's key, the layer, the KV head and the position of the arriving token: neither the
    batch nor the order of work changes them, and each thread of a prompt has its own.
    """

    name = "random"
    frees = "memory and reads: every row holds at most B tokens"

    def __init__(self, context: PolicyContext, settings: Any = None) -> None:
        super().__init__(context, settings)
        self.keys: NDArray[np.uint64] = np.zeros(len(self.first), np.uint64)

    def begin(self, seq: int, key: int) -> None:
        """Draw with the prompt's own key."""
        super().begin(seq, key)
        self.keys[seq] = key

    def fork(self, source: int, seq: int, key: int) -> None:
        """Draw with the thread's key from here on."""
        super().fork(source, seq, key)
        self.keys[seq] = key

    def prefilled(self, layer: int, seq: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Do nothing: attention does not matter."""

    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Draw the victims, store, attend."""
        _draw(seqs, self.keys, layer, *self.state[layer])
        self.put(layer, seqs, k_nkd, v_nkd)
        return self.attend(layer, seqs, q_nhd)


@compiled(inline="always")
def _mix(x):  # type: ignore[no-untyped-def]
    """Take one step of splitmix64: every bit of the result depends on every bit of x."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled()
def _draw(seqs, keys, layer, *fields):  # type: ignore[no-untyped-def]
    """Name a victim of each full row: draw places until one is not protected."""
    state = BoundedState(*fields)
    room = state.room
    for s in seqs:
        # The arriving token's position is seen[s]: it and the last recent - 1 tokens before it are protected.
        last, first = state.seen[s] - state.recent, state.first[s]
        for k in range(state.victims.shape[1]):
            if state.lengths[s, k] == room:
                draw = _mix(_mix(_mix(keys[s] ^ np.uint64(layer)) ^ np.uint64(k)) ^ np.uint64(state.seen[s]))
                # Tokens protected at the start were stored first and lie in the first places.
                while True:
                    place = first + np.int64(draw % np.uint64(room - first))
                    if state.positions[s, k, place] <= last:
                        break
                    draw = _mix(draw)
                state.victims[s, k] = place
