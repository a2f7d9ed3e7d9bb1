"""DMC by its definition, one layer of one sequence: slots are lists of tokens, the newest is averaged anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference import cache_vanilla
from tests.reference.cache_vanilla import Array


class Reference(cache_vanilla.Reference):
    """`held` has the newest token of each slot."""

    def __init__(self, kv_heads: int, group: int, budget: int | None, settings: Any, key: int) -> None:
        super().__init__(kv_heads, group, budget, settings, key)
        self.slots: list[list[list[int]]] = [[] for _ in range(kv_heads)]
        self.means: list[list[tuple[Array, Array]]] = [[] for _ in range(kv_heads)]
        self.extra: list[tuple[Array, ...]] = []

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        return np.stack([self.decode(*token) for token in zip(q_thd, k_tkd, v_tkd, *extra, strict=True)])

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        self.extra.append(extra)
        self.store(k_kd, v_kd)
        token = len(self.extra) - 1
        out = []
        for head, (slots, means) in enumerate(zip(self.slots, self.means, strict=True)):
            if extra[0][head] > 0 and slots:
                slots[-1].append(token)
                means.pop()
            else:
                slots.append([token])
            means.append(self.mean(slots[-1], head))
            keys, values = zip(*means, strict=True)
            for q_d in q_hd[head * self.group : (head + 1) * self.group]:
                scores = np.stack(keys) @ q_d / np.sqrt(len(q_d))
                powers = np.exp(scores - scores.max())
                out.append(powers @ np.stack(values) / powers.sum())
        self.held = [{slot[-1] for slot in slots} for slots in self.slots]
        self.attended = [len(slots) for slots in self.slots]
        return np.stack(out)

    def mean(self, slot: list[int], head: int) -> tuple[Array, Array]:
        """Key, rotated to the newest token's position, and value of a slot."""
        if len(slot) == 1:
            return self.k_skd[slot[0], head], self.v_skd[slot[0], head]
        weights = np.array([1 / (1 + np.exp(-self.extra[token][1][head])) + 1 / 128 for token in slot])
        weights /= weights.sum()
        k_d = weights @ np.stack([self.extra[token][2][head] for token in slot])
        cos, sin = (x[0] for x in self.extra[slot[-1]][3:])
        half = len(k_d) // 2
        # The first half of sin comes negated.
        k_d = k_d * cos + np.concatenate([k_d[half:], k_d[:half]]) * sin
        k_d[-1] = 0
        return k_d, weights @ self.v_skd[slot, head]
