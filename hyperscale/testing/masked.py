"""A numpy reference that keeps and attends every token: the base of masked references, and vanilla's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weights(q_hd: Array, k_skd: Array, seen_sk: NDArray[np.bool_], group: int) -> Array:
    """Compute w_hs: softmax over the tokens that each head's KV head sees."""
    w_hs = np.zeros((len(q_hd), len(k_skd)))
    for h, q_d in enumerate(q_hd):
        seen = np.flatnonzero(seen_sk[:, h // group])
        scores = k_skd[seen, h // group] @ q_d / np.sqrt(len(q_d))
        powers = np.exp(scores - scores.max())
        w_hs[h, seen] = powers / powers.sum()
    return w_hs


def mix(w_hs: Array, v_skd: Array, group: int) -> Array:
    """Compute out_hd: each head's weights on the values of its KV head."""
    return np.stack([w_s @ v_skd[:, h // group] for h, w_s in enumerate(w_hs)])


class MaskedReference:
    """Reference that keeps and attends all tokens; a subclass removes evicted positions from `held`.

    Tokens are never deleted: `k_skd` and `v_skd` have all of them by position, and `held` masks them. After each query
    `w_hs` has the attention weights of the heads over all s positions. See `subject.Reference` for the contract.
    """

    def __init__(self, kv_heads: int, group: int, budget: int | None, settings: Any, key: int) -> None:
        self.kv_heads, self.group, self.budget, self.settings, self.key = kv_heads, group, budget, settings, key
        self.layer = 0
        self.margin = np.inf
        self.k_skd: Array = np.empty((0, kv_heads, 0))
        self.v_skd: Array = np.empty((0, kv_heads, 0))
        self.held: list[set[int]] = [set() for _ in range(kv_heads)]
        self.attended = [0] * kv_heads

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        """Attend a prompt, token by token. Returns out_thd."""
        out = []
        for t, q_hd in enumerate(q_thd):
            self.store(k_tkd[t], v_tkd[t])
            out.append(self.attend(q_hd))
        return np.stack(out)

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        """Store one more token and attend. Returns out_hd."""
        self.store(k_kd, v_kd)
        return self.attend(q_hd)

    def store(self, k_kd: Array, v_kd: Array) -> None:
        """Hold a token in every KV head."""
        for held in self.held:
            held.add(len(self.k_skd))
        self.k_skd = np.concatenate([self.k_skd.reshape(-1, *k_kd.shape), k_kd[None]])
        self.v_skd = np.concatenate([self.v_skd.reshape(-1, *v_kd.shape), v_kd[None]])

    def attend(self, q_hd: Array) -> Array:
        """Attend all held tokens, and record weights and counts. Returns out_hd."""
        seen_sk = np.zeros((len(self.k_skd), self.kv_heads), np.bool_)
        for head, held in enumerate(self.held):
            seen_sk[sorted(held), head] = True
        self.attended = [len(held) for held in self.held]
        self.w_hs = weights(q_hd, self.k_skd, seen_sk, self.group)
        return mix(self.w_hs, self.v_skd, self.group)
