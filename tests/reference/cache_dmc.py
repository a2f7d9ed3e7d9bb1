"""DMC by its definition, one layer of one sequence: places are lists of tokens, the newest is averaged anew."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference import cache_vanilla
from tests.reference.cache_vanilla import Array


class Reference(cache_vanilla.Reference):
    """`held` has the newest token of each place."""

    def __init__(self, kv_heads: int, group: int, budget: int | None, settings: Any, key: int) -> None:
        super().__init__(kv_heads, group, budget, settings, key)
        self.places: list[list[list[int]]] = [[] for _ in range(kv_heads)]
        self.means: list[list[tuple[Array, Array]]] = [[] for _ in range(kv_heads)]
        self.extra: list[tuple[Array, ...]] = []

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        return np.stack([self.decode(*token) for token in zip(q_thd, k_tkd, v_tkd, *extra, strict=True)])

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        self.extra.append(extra)
        self.store(k_kd, v_kd)
        token = len(self.extra) - 1
        out = []
        for head, (places, means) in enumerate(zip(self.places, self.means, strict=True)):
            if extra[0][head] > 0 and places:
                places[-1].append(token)
                means.pop()
            else:
                places.append([token])
            means.append(self.mean(places[-1], head))
            keys, values = zip(*means, strict=True)
            for q_d in q_hd[head * self.group : (head + 1) * self.group]:
                scores = np.stack(keys) @ q_d / np.sqrt(len(q_d))
                powers = np.exp(scores - scores.max())
                out.append(powers @ np.stack(values) / powers.sum())
        self.held = [{place[-1] for place in places} for places in self.places]
        self.attended = [len(places) for places in self.places]
        return np.stack(out)

    def mean(self, place: list[int], head: int) -> tuple[Array, Array]:
        """Key, rotated to the newest token's position, and value of a place."""
        if len(place) == 1:
            return self.k_skd[place[0], head], self.v_skd[place[0], head]
        weights = np.array([1 / (1 + np.exp(-self.extra[token][1][head])) + 1 / 128 for token in place])
        weights /= weights.sum()
        k_d = weights @ np.stack([self.extra[token][2][head] for token in place])
        cos, sin = (x[0] for x in self.extra[place[-1]][3:])
        half = len(k_d) // 2
        # The first half of sin comes negated.
        k_d = k_d * cos + np.concatenate([k_d[half:], k_d[:half]]) * sin
        k_d[-1] = 0
        return k_d, weights @ self.v_skd[place, head]
