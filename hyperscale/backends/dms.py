"""DMS (Dynamic Memory Sparsification): a token that its gate evicts is overwritten when it leaves the window.

Łańcucki et al., "Inference-Time Hyper-Scaling with KV Cache Compression", arXiv 2506.05345. A gate, trained with the
model, gives each token of each KV head a logit; above 0 the token is evicted, but not at once: every query up to
`window` tokens behind it still sees it. Heads end with rows of different lengths; no budget binds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.prompt import windowed_attention
from hyperscale.backends.base import Backend, PolicyContext
from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_pool import BLOCK_SIZE
from hyperscale.model.spec import GATES, KEY, GateSpec


@dataclass(frozen=True)
class DMSSettings:
    """Settings of DMS: when to decide and when to evict. A checkpoint was trained to one window and one shift."""

    window: int = -1
    """Tokens by which an eviction is delayed: queries up to so far ahead of a token see it. -1: the checkpoint's."""
    decision_shift: int = -1
    """1: the token after it decides on a token, as in NVIDIA's code; 0: the token itself. -1: the checkpoint's."""
    immediate: bool = False
    """The paper's ablation: the decision is made only when the token leaves the window, `window` tokens later. A
    checkpoint that was trained so needs no setting."""

    def __post_init__(self) -> None:
        if self.window < -1:
            raise ValueError(f"window must be at least 0 tokens, or -1 for the checkpoint's, not {self.window}")
        if self.decision_shift not in (-1, 0, 1):
            raise ValueError(f"decision_shift must be 0, 1, or -1 for the checkpoint's, not {self.decision_shift}")


class WindowState(NamedTuple):
    """One layer's state. The last axis is the position modulo window + 1: the newest token replaces the leaving one."""

    lengths: NDArray[np.int32]
    """(seqs, kv_heads): KV tokens of each row."""
    seen: NDArray[np.int64]
    """(seqs,): tokens so far."""
    ring: NDArray[np.int32]
    """(seqs, kv_heads, window + 1): places of the last tokens."""
    decisions: NDArray[np.bool_]
    """(seqs, kv_heads, window + 1): the decisions that the last tokens carried."""


@compiled()
def _next_places(seqs, evict_nk, lag, places_nk, *fields):  # type: ignore[no-untyped-def]
    """Find each row's next place: over the token that leaves the window if it is evicted, else the row's end.

    The token at t leaves the window when t + size arrives; token t + lag decided on it.
    """
    state = WindowState(*fields)
    size = state.ring.shape[2]
    for i in range(seqs.shape[0]):
        s = seqs[i]
        now = state.seen[s]
        at, decider = now % size, (now - size + lag) % size
        for k in range(state.lengths.shape[1]):
            place = state.lengths[s, k]
            if now >= size and (evict_nk[i, k] if lag == size else state.decisions[s, k, decider]):
                place = state.ring[s, k, at]
            places_nk[i, k] = place
            state.ring[s, k, at] = place
            state.decisions[s, k, at] = evict_nk[i, k]
        state.seen[s] = now + 1


class DMS(Backend):
    """Evict by the gates. State: places and decisions of the last window + 1 tokens of each row."""

    name = "dms"
    frees = "the tokens that its gates evict, once they leave the window (needs a checkpoint with gates)"
    gated = True
    Settings = DMSSettings
    whole_prompt = True

    def __init__(self, context: PolicyContext, settings: Any = None) -> None:
        super().__init__(context, settings)
        self.check_gates(context.gates)
        assert context.gates is not None
        chosen, gates = self.settings, context.gates
        # No token leaves a window as long as a row can be: a longer one would only take memory.
        longest = self.table.block_table.shape[-1] * BLOCK_SIZE
        self.window = min(gates.window if chosen.window < 0 else chosen.window, longest)
        shift = gates.decision_shift if chosen.decision_shift < 0 else chosen.decision_shift
        self.lag = shift + (self.window if chosen.immediate or gates.immediate else 0)
        """Distance from a token to the one whose gate decides on it: 0 to window + 1 tokens."""
        size = self.window + 1
        layers, seqs, kv_heads = self.table.lengths.shape
        self._ring: NDArray[np.int32] = np.zeros((layers, seqs, kv_heads, size), np.int32)
        self._decisions: NDArray[np.bool_] = np.zeros((layers, seqs, kv_heads, size), np.bool_)
        self._seen: NDArray[np.int64] = np.zeros((layers, seqs), np.int64)
        per_layer = zip(self.table.lengths, self._seen, self._ring, self._decisions, strict=True)
        self._state = [WindowState(*arrays) for arrays in per_layer]

    @classmethod
    def check_gates(cls, gates: GateSpec | None) -> None:
        """Raise ValueError if the checkpoint was not trained to evict."""
        if gates is None or gates.form == "dmc":
            found = "has no gates" if gates is None else "has the gates of DMC"
            raise ValueError(
                f"the dms backend evicts what a model's gates say, and this checkpoint {found}: use one retrofitted "
                f"with DMS, such as nvidia/Qwen3-8B-DMS-8x, or put {GATES} into its folder (or {KEY} into config.json)"
            )

    @classmethod
    def expectation(cls, gates: GateSpec | None, settings: Any) -> Callable[[int], int] | None:
        """Expect the window, and 1 / ratio of the tokens before it."""
        if gates is None or gates.ratio is None:
            return None
        ratio, recent = gates.ratio, 1 + (gates.window if settings.window < 0 else settings.window)
        return lambda length: length if length <= recent else recent + math.ceil((length - recent) / ratio)

    def begin(self, seq: int, key: int) -> None:
        """Start from an empty window."""
        self._seen[:, seq] = 0

    def fork(self, source: int, seq: int, key: int) -> None:
        """Copy the window: the same tokens lie in the same places."""
        for kept in (self._ring, self._decisions, self._seen):
            kept[:, seq] = kept[:, source]

    def row_range(self, tokens: int) -> tuple[int, int]:
        """Count the window at least, all tokens at most."""
        return min(tokens, self.window + 1), tokens

    def assume(self, seqs: NDArray[np.int64], tokens: int) -> None:
        """Have the window's tokens last in each row; as many of them are decided to go as went before."""
        size, lengths_lnk = self.window + 1, self.table.lengths[:, seqs, :, None]
        recent = np.arange(max(tokens - size, 0), tokens)
        left = tokens - len(recent)
        gone_lnk = (tokens - lengths_lnk) / left if left else np.zeros(lengths_lnk.shape)
        ring, decisions = self._ring[:, seqs], self._decisions[:, seqs]
        ring[..., recent % size] = lengths_lnk - (tokens - recent)
        drawn = np.random.default_rng(0).random((*lengths_lnk.shape[:-1], len(recent)))
        decisions[..., recent % size] = drawn < gone_lnk
        self._ring[:, seqs], self._decisions[:, seqs], self._seen[:, seqs] = ring, decisions, tokens

    def prefill(self, layer: int, seq: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, *gates: Tensor) -> Tensor:
        """Attend the whole prompt under the mask of decode; tokens evicted by its end never enter the rows."""
        evict_tk = _evict(*gates)
        tokens, window = len(evict_tk), self.window
        evicted_tk = np.zeros_like(evict_tk)
        # The last tokens are not decided on yet; they are all within the window.
        evicted_tk[: max(tokens - self.lag, 0)] = evict_tk[self.lag :]
        recent = np.arange(max(tokens - window - 1, 0), tokens)
        keep_tk = ~evicted_tk
        keep_tk[recent] = True
        for head in range(self.table.kv_heads):
            kept = torch.from_numpy(np.flatnonzero(keep_tk[:, head])).to(k_tkd.device)
            self.table.fill(layer, seq, head, k_tkd[kept, head], v_tkd[kept, head])
        self._ring[layer, seq][:, recent % (window + 1)] = keep_tk.sum(0)[:, None] - (tokens - recent)
        self._decisions[layer, seq][:, recent % (window + 1)] = evict_tk[recent].T
        self._seen[layer, seq] = tokens
        return windowed_attention(q_thd, k_tkd, v_tkd, evicted_tk, window)

    def decode(
        self, layer: int, seqs: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *gates: Tensor
    ) -> Tensor:
        """Overwrite the evicted token that leaves the window, or append; attend the whole row."""
        evict_nk = _evict(*gates)
        places_nk = np.empty(evict_nk.shape, np.int64)
        _next_places(seqs, evict_nk, self.lag, places_nk, *self._state[layer])
        self.table.put(layer, seqs, places_nk, k_nkd, v_nkd)
        return self.attend(layer, seqs, q_nhd)


def _evict(logits_nk: Tensor) -> NDArray[np.bool_]:
    evict_nk: NDArray[np.bool_] = (logits_nk > 0).cpu().numpy()
    return evict_nk
