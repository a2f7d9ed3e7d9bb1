"""A cache of at most B tokens, one layer of one sequence; TOVA, H2O and random say which token goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.reference import cache_vanilla

Array = NDArray[np.float64]


class Bounded(cache_vanilla.Reference):
    """Every token is kept; what is given up is masked from the step after on."""

    prompt = 0

    def prefill(self, q_thd: Array, k_tkd: Array, v_tkd: Array, *extra: Array) -> Array:
        """Dense: the budget holds all of it."""
        assert self.budget is not None
        assert len(q_thd) <= self.budget
        out = []
        for t, q_hd in enumerate(q_thd):
            self.store(k_tkd[t], v_tkd[t])
            out.append(self.attend(q_hd))
            self.attended_to(self.w_hs.reshape(self.kv_heads, self.group, -1))
        self.prompt = len(q_thd)
        return np.stack(out)

    def decode(self, q_hd: Array, k_kd: Array, v_kd: Array, *extra: Array) -> Array:
        """Where B tokens are held, one goes, chosen by what earlier queries attended."""
        for head, held in enumerate(self.held):
            if len(held) == self.budget:
                held.remove(self.victim(head))
        out_hd = super().decode(q_hd, k_kd, v_kd)
        self.attended_to(self.w_hs.reshape(self.kv_heads, self.group, -1))
        return out_hd

    def attended_to(self, w_kgs: Array) -> None:
        """Take note of the attention of one query."""

    def victim(self, head: int) -> int:
        """The position that KV head gives up for the token that arrives now."""
        raise NotImplementedError

    def recent(self) -> int:
        """Last tokens that must be held after a step, the arriving one included."""
        return int(self.settings.recent_window)

    def eligible(self, head: int) -> list[int]:
        """Positions that may be given up for the token that arrives now."""
        arriving = len(self.k_skd)
        first = max(self.settings.sink_tokens, self.prompt if self.settings.protect_prompt else 0)
        recent = range(arriving - self.recent() + 1, arriving)
        return [position for position in sorted(self.held[head]) if position >= first and position not in recent]

    def least(self, head: int, score_s: Array) -> int:
        """The eligible position of the least score; how clear the choice is goes into `margin`."""
        ordered = sorted(self.eligible(head), key=lambda position: float(score_s[position]))
        if len(ordered) > 1:
            low, next_low = score_s[ordered[0]], score_s[ordered[1]]
            self.margin = min(self.margin, float((next_low - low) / next_low))
        return ordered[0]
