"""Rows of at most B tokens: the base of TOVA, H2O, the random control, and of policies that only score tokens.

A row grows until it holds B tokens; from then on each token overwrites the victim that the policy names. A prompt is
prefilled densely up to B tokens; the rest of it goes through `decode` token by token.

The state of a policy (positions, for H2O attention mass) lies in host memory, 4 bytes a place; it is not counted as KV
cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import attention_mass
from hyperscale.backends.base import Backend, PolicyContext, dense_prefill
from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_pool import BLOCK_SIZE


@dataclass(frozen=True)
class Protection:
    """Settings: tokens that are never evicted."""

    protect_prompt: bool = False
    """All tokens of the prompt. A prompt that leaves no room in the budget is refused."""
    sink_tokens: int = 0
    """The first tokens of the sequence."""
    recent_window: int = 0
    """The last tokens of the sequence, the newest included: as many are held after every step. The newest always is,
    so that 1 says no more than 0; 2 keeps a token for one step after its own."""

    def __post_init__(self) -> None:
        for name in ("sink_tokens", "recent_window"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number of tokens, 0 or more")


class BoundedState(NamedTuple):
    """One layer's state. Compiled functions take it field by field, which numba dispatches faster than a struct."""

    lengths: NDArray[np.int32]
    """(seqs, kv_heads): KV tokens of each row."""
    seen: NDArray[np.int64]
    """(seqs,): tokens so far; the position of the next one."""
    first: NDArray[np.int64]
    """(seqs,): the first position that may be evicted."""
    positions: NDArray[np.int32]
    """(seqs, sets, places): position in the sequence of the token in each place."""
    victims: NDArray[np.int64]
    """(seqs, kv_heads): the place that the next token overwrites, once the row is full."""
    room: int
    """B: places of a row."""
    recent: int
    """Last tokens of a sequence, the newest included, that are never evicted."""


class Bounded(Backend):
    """A policy that holds each row at B tokens.

    A subclass overrides `score`, or, for speed, `prefilled` and `decode` with compiled code, as TOVA and H2O do.
    """

    knows_length: ClassVar[bool] = True
    Settings: ClassVar[type] = Protection
    sets: ClassVar[int | None] = None
    """Sets of tokens a layer: 1 if its KV heads all hold the same; None: each its own."""

    def __init__(self, context: PolicyContext, settings: Any = None) -> None:
        super().__init__(context, settings)
        assert self.budget is not None
        self.room: int = self.budget
        self.recent = self.recent_window(self.settings, self.room)
        layers, seqs, kv_heads, blocks = self.table.block_table.shape
        # Memory is mapped when it is first written to. Fields as in BoundedState, with the layer in front.
        self.seen: NDArray[np.int64] = np.zeros((layers, seqs), np.int64)
        self.first: NDArray[np.int64] = np.zeros(seqs, np.int64)
        places = (layers, seqs, self.sets or kv_heads, blocks * BLOCK_SIZE)
        self.positions: NDArray[np.int32] = np.zeros(places, np.int32)
        self.victims: NDArray[np.int64] = np.zeros((layers, seqs, kv_heads), np.int64)
        self.state = [
            BoundedState(lengths, seen, self.first, positions, victims, self.room, self.recent)
            for lengths, seen, positions, victims in zip(
                self.table.lengths, self.seen, self.positions, self.victims, strict=True
            )
        ]

    def score(
        self, layer: int, seqs: NDArray[np.int64], mass_nkt: NDArray[np.float32], positions_nkt: NDArray[np.int32]
    ) -> NDArray[np.floating] | NDArray[np.integer] | Tensor:
        """Score every token held, for policies without compiled code: the lowest score of a row is evicted.

        Called after each step of a layer, for the n sequences of the batch whose rows are full (t = B places), and
        after a dense prefill that fills them. The next token overwrites the victim.

        * `seqs`: (n,), indices of the sequences, for state that the policy keeps by `seq`;
        * `mass_nkt`: the last query's attention on each place, summed over the query heads of each KV head;
        * `positions_nkt`: position in the sequence of the token in each place; with `sets = 1`, k is 1 for the layer.

        Returns scores in the shape of `positions_nkt`, numpy or torch, of any real dtype; higher scores are kept. Ties
        go to the lowest place, and NaN counts as lowest. Tokens under `Protection` are never evicted, whatever their
        score; the base sees to it, as to storing, attending, counting and forking. `table.gather(layer, seq, head)` has
        a row's keys and values in the order of its places.

        This costs a round through Python for every layer of every step: several times what a compiled policy takes.
        """
        raise NotImplementedError(f"{type(self).__name__}: override score, or both prefilled and decode")

    @classmethod
    def recent_window(cls, settings: Any, budget: int) -> int:
        """Count the last tokens that every row holds: 1 or more."""
        return max(int(settings.recent_window), 1)

    @classmethod
    def check_budget(cls, budget: int | None, settings: Any) -> None:
        """Raise ValueError if the protected tokens do not fit the budget."""
        assert budget is not None
        recent = cls.recent_window(settings, budget)
        if settings.sink_tokens + recent > budget:
            raise ValueError(
                f"{cls.name}: a budget of {budget} tokens a row has no room for sink_tokens {settings.sink_tokens} "
                f"beside the last {recent} (recent_window); the newest token always takes one place"
            )

    @classmethod
    def check_prompt(cls, prompt: int, budget: int | None, settings: Any) -> None:
        """Raise ValueError if the budget has no room for a prompt that is protected."""
        assert budget is not None
        recent = cls.recent_window(settings, budget)
        if settings.protect_prompt and prompt + recent > budget:
            raise ValueError(
                f"{cls.name}.protect_prompt: a prompt of {prompt} tokens, beside the last {recent}, does not fit a "
                f"budget of {budget} tokens a row; raise --lengths, lower --cr or turn protect_prompt off"
            )

    def dense_prompt(self, prompt: int) -> int:
        """Prefill densely until the budget is reached."""
        self.check_prompt(prompt, self.budget, self.settings)
        return min(prompt, self.room)

    def begin(self, seq: int, key: int) -> None:
        """Start from an empty row."""
        self.seen[:, seq] = 0
        self.first[seq] = self.settings.sink_tokens

    def fork(self, source: int, seq: int, key: int) -> None:
        """Copy positions, counts and victims."""
        self.seen[:, seq] = self.seen[:, source]
        self.first[seq] = self.first[source]
        self.victims[:, seq] = self.victims[:, source]
        self._copy(self.positions, source, seq)

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Hold the first tokens that are protected and the last ones; the oldest other is the victim."""
        held = min(tokens, self.room)
        sinks = min(self.settings.sink_tokens, held)
        self.seen[:, seqs] = tokens
        self.positions[:, seqs, :, :held] = np.append(np.arange(sinks), np.arange(tokens - held + sinks, tokens))
        self.victims[:, seqs] = sinks

    def prefill(self, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor) -> Tensor:
        """Attend densely and causally to all tokens so far, and keep them all."""
        before, after = int(self.seen[layer, seq]), int(self.seen[layer, seq]) + len(k_tkd)
        out_thd, k_skd = dense_prefill(self.table, layer, seq, q_thd, k_tkd, v_tkd)
        self.seen[layer, seq] = after
        self.positions[layer, seq, :, before:after] = np.arange(before, after)
        if self.settings.protect_prompt:
            self.first[seq] = max(self.settings.sink_tokens, after)
        self.prefilled(layer, seq, q_thd, k_skd)
        return out_thd

    def prefilled(self, layer: int, seq: int, q_thd: Tensor, k_skd: Tensor) -> None:
        """Record a piece of prompt: its t queries, the last of s positions, and the keys so far."""
        if len(k_skd) == self.room:
            mass_1ks = attention_mass(q_thd[-1:], k_skd)[None].cpu().numpy()
            self._evict_lowest(layer, np.array([seq], np.int64), mass_1ks)

    def decode(self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Store over the victim, attend, and choose the next victim by `score`."""
        self.put(layer, seqs, k_nkd, v_nkd)
        out_nhd, mass_nkt = self.attend_weighed(layer, seqs, q_nhd)
        self._evict_lowest(layer, seqs, mass_nkt)
        return out_nhd

    def put(self, layer: int, seqs: NDArray[np.int64], k_nkd: Tensor, v_nkd: Tensor) -> NDArray[np.int64]:
        """Store a token of each sequence, over the victim where a row is full. Returns places_nk."""
        places_nk = np.empty((len(seqs), self.table.kv_heads), np.int64)
        _next_places(seqs, places_nk, *self.state[layer])
        self.table.put(layer, seqs, places_nk, k_nkd, v_nkd)
        return places_nk

    def _evict_lowest(self, layer: int, seqs: NDArray[np.int64], mass_nkt: NDArray[np.float32]) -> None:
        """Name the victims of all full rows by `score`."""
        state = self.state[layer]
        full_n = state.lengths[seqs, 0] == self.room
        if not full_n.any():
            return
        seqs, room = seqs[full_n], self.room
        positions_nkt = state.positions[seqs, :, :room]
        scores = self.score(layer, seqs, mass_nkt[full_n, :, :room], positions_nkt)
        scores_nkt = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
        if scores_nkt.shape != positions_nkt.shape:
            raise ValueError(f"{self.name}.score returned shape {scores_nkt.shape}, expected {positions_nkt.shape}")
        # The next token's position is seen: it and the last recent - 1 tokens before it are protected.
        until_n = state.seen[seqs] - self.recent + 1
        eligible_nkt = (positions_nkt >= state.first[seqs, None, None]) & (positions_nkt < until_n[:, None, None])
        lowest_nk = np.where(eligible_nkt, scores_nkt, np.inf).argmin(-1)
        chosen_nk1 = np.take_along_axis(eligible_nkt, lowest_nk[..., None], -1)
        state.victims[seqs] = np.where(chosen_nk1[..., 0], lowest_nk, eligible_nkt.argmax(-1))

    def _copy(self, by_place: NDArray[Any], source: int, seq: int) -> None:
        used = int(self.table.lengths[:, source].max())
        by_place[:, seq, :, :used] = by_place[:, source, :, :used]


@compiled()
def _next_places(seqs, places_nk, *fields):  # type: ignore[no-untyped-def]
    """Find the place of each row's next token, and record its position there."""
    state = BoundedState(*fields)
    for i in range(seqs.shape[0]):
        s = seqs[i]
        for k in range(places_nk.shape[1]):
            place = state.lengths[s, k] if state.lengths[s, k] < state.room else state.victims[s, k]
            places_nk[i, k] = place
            if k < state.positions.shape[1]:
                state.positions[s, k, place] = state.seen[s]
        state.seen[s] += 1
