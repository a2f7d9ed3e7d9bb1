"""DMS by its definition, one layer of one sequence: a mask over all tokens, looked up at every query."""

from __future__ import annotations

from typing import Any

from tests.reference import cache_vanilla
from tests.reference.cache_vanilla import Array


class Reference(cache_vanilla.Reference):
    """A key is seen by the query at distance d if d <= window, or if its token is not evicted."""

    def __init__(self, kv_heads: int, group: int, budget: int | None, settings: Any, key: int) -> None:
        super().__init__(kv_heads, group, budget, settings, key)
        self.logits: list[Array] = []

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        self.logits += list(extra[0])
        return super().prefill(q_thd, k_tkd, v_tkd)

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        self.logits.append(extra[0])
        return super().decode(q_hd, k_kd, v_kd)

    def attend(self, q_hd: Array) -> Array:
        window, query = self.settings.window, len(self.k_skd) - 1
        # Delayed: the decision is made by the token (or the one after it). Immediate: when it leaves the window.
        lag = self.settings.decision_shift + (window if self.settings.immediate else 0)
        # Whoever is out of the window, that is up to query - window - 1, has been decided on by now.
        outside = range(max(query - window, 0))
        for head in range(self.kv_heads):
            evicted = {token for token in outside if self.logits[token + lag][head] > 0}
            self.held[head] = set(range(query + 1)) - evicted
        return super().attend(q_hd)
