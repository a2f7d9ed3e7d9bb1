"""Rows of at most B tokens: what TOVA, H2O and the random control have in common.

A row grows until it holds B tokens; from then on each token overwrites the victim that the policy names. A prompt
is prefilled densely up to B tokens, the rest of it goes through `decode` token by token.

What a policy knows of each place (its position, for H2O its attention) lies in host memory, 4 bytes each; it is not
counted as KV cache.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.backends.base import Backend, Parts, dense_prefill
from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_table import PAGE_SIZE

_BLOCK = 64
"""Slots whose least is taken at once: a minimum is found in vectors, the slot that it lies in is not."""


@dataclass(frozen=True)
class Protection:
    """Tokens that are never given up."""

    protect_prompt: bool = False
    """All tokens of the prompt. One that leaves no room in the budget is refused."""
    sink_tokens: int = 0
    """The first tokens of the sequence."""
    recent_window: int = 0
    """The last tokens of the sequence, the newest included: as many are held after every step. The newest always is,
    so that 1 says no more than 0; 2 keeps a token for one step after its own."""

    def __post_init__(self) -> None:
        for name in ("sink_tokens", "recent_window"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number of tokens, 0 or more")


class Bounded(Backend):
    """A policy that holds each row at B tokens. Subclasses choose the victims."""

    knows_length: ClassVar[bool] = True
    Settings: ClassVar[type] = Protection
    sets: ClassVar[int | None] = None
    """Sets of tokens a layer: 1 if its KV heads all hold the same; None: each its own."""

    def __init__(self, parts: Parts, settings: Any = None) -> None:
        super().__init__(parts, settings)
        assert self.budget is not None
        self.room: int = self.budget
        self.recent = self.recent_window(self.settings, self.room)
        layers, slots, kv_heads, pages = self.rows.table.shape
        # By layer, slot of the sequence, and row. Memory is mapped when it is first written to.
        self.seen: NDArray[np.int64] = np.zeros((layers, slots), np.int64)
        """Tokens of each sequence so far."""
        self.first: NDArray[np.int64] = np.zeros(slots, np.int64)
        """Tokens at its start that are never given up."""
        shape = (layers, slots, self.sets or kv_heads, pages * PAGE_SIZE)
        self.positions: NDArray[np.int32] = np.zeros(shape, np.int32)
        """Position in the sequence of the token in each place of a row."""
        self.victims: NDArray[np.int64] = np.zeros((layers, slots, kv_heads), np.int64)
        """Place of the token that the next one overwrites, once the row is full."""

    @classmethod
    def recent_window(cls, settings: Any, budget: int) -> int:
        """Last tokens that every row holds: 1 or more."""
        return max(int(settings.recent_window), 1)

    @classmethod
    def check_budget(cls, budget: int | None, settings: Any) -> None:
        """ValueError if what is always kept does not fit."""
        assert budget is not None
        recent = cls.recent_window(settings, budget)
        if settings.sink_tokens + recent > budget:
            raise ValueError(
                f"{cls.name}: a budget of {budget} tokens a row has no room for sink_tokens {settings.sink_tokens} "
                f"beside the last {recent} (recent_window); the newest token always takes one place"
            )

    @classmethod
    def check_prompt(cls, prompt: int, budget: int | None, settings: Any) -> None:
        """ValueError if the budget has no room for a prompt that is protected."""
        assert budget is not None
        recent = cls.recent_window(settings, budget)
        if settings.protect_prompt and prompt + recent > budget:
            raise ValueError(
                f"{cls.name}.protect_prompt: a prompt of {prompt} tokens, beside the last {recent}, does not fit a "
                f"budget of {budget} tokens a row; raise --lengths, lower --cr or turn protect_prompt off"
            )

    def dense_prompt(self, prompt: int) -> int:
        """Until the budget is reached."""
        self.check_prompt(prompt, self.budget, self.settings)
        return min(prompt, self.room)

    def begin(self, slot: int, key: int) -> None:
        """Nothing is held."""
        self.seen[:, slot] = 0
        self.first[slot] = self.settings.sink_tokens

    def fork(self, source: int, slot: int, key: int) -> None:
        """Copy what is known of each place."""
        self.seen[:, slot] = self.seen[:, source]
        self.first[slot] = self.first[source]
        self.victims[:, slot] = self.victims[:, source]
        self._copy(self.positions, source, slot)

    def prefill(self, layer: int, slot: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Dense causal attention over all tokens so far, which are all kept."""
        before, after = int(self.seen[layer, slot]), int(self.seen[layer, slot]) + len(k_tkd)
        out_thd, k_skd = dense_prefill(self.rows, layer, slot, q_thd, k_tkd, v_tkd)
        self.seen[layer, slot] = after
        self.positions[layer, slot, :, before:after] = np.arange(before, after)
        if self.settings.protect_prompt:
            self.first[slot] = max(self.settings.sink_tokens, after)
        self.prefilled(layer, slot, q_thd, k_skd)
        return out_thd

    @abstractmethod
    def prefilled(self, layer: int, slot: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Take note of a piece of prompt: its t queries, the last of s positions, and the keys so far."""

    def put(self, layer: int, slots: NDArray[np.int64], k_nkd: Tensor, v_nkd: Tensor) -> NDArray[np.int64]:
        """Store a token of each sequence, over the victim where a row is full. Returns its places, nk."""
        places_nk = np.empty((len(slots), self.rows.kv_heads), np.int64)
        lengths, victims = self.rows.lengths[layer], self.victims[layer]
        _take(slots, lengths, victims, self.room, self.seen[layer], self.positions[layer], places_nk)
        self.rows.put(layer, slots, places_nk, k_nkd, v_nkd)
        return places_nk

    def _copy(self, by_place: NDArray[Any], source: int, slot: int) -> None:
        used = int(self.rows.lengths[:, source].max())
        by_place[:, slot, :, :used] = by_place[:, source, :, :used]


@compiled()
def _take(slots, lengths, victims, room, seen, positions, places_nk):  # type: ignore[no-untyped-def]
    """The place of each row's next token, and its position there."""
    for i in range(slots.shape[0]):
        s = slots[i]
        for h in range(places_nk.shape[1]):
            place = lengths[s, h] if lengths[s, h] < room else victims[s, h]
            places_nk[i, h] = place
            if h < positions.shape[1]:
                positions[s, h, place] = seen[s]
        seen[s] += 1


@compiled(fastmath={"nnan", "nsz"})
def least(scores_t, positions_t, length, first, until):  # type: ignore[no-untyped-def]
    """The place of the least score among positions from `first` up to, not including, `until`; ties: the lowest.

    Some place is eligible whenever a row is full. Where scores are NaN, the first that is eligible.
    """
    top, best = np.float32(np.inf), 0
    for start in range(0, length, _BLOCK):
        block = np.float32(np.inf)
        for t in range(start, min(start + _BLOCK, length)):
            eligible = (positions_t[t] >= first) & (positions_t[t] < until)
            block = min(block, scores_t[t] if eligible else np.float32(np.inf))
        if block < top:
            top, best = block, start
    for t in range(best, length):
        if first <= positions_t[t] < until and scores_t[t] <= top:
            return t
    for t in range(length):
        if first <= positions_t[t] < until:
            return t
    return 0
