"""DMS: a token that its gate gives up is overwritten when it leaves the window (Dynamic Memory Sparsification).

Łańcucki et al., "Inference-Time Hyper-Scaling with KV Cache Compression", arXiv 2506.05345. A gate, trained with the
model, gives each token of each KV head a logit; above 0 the token is evicted, but not at once: every query up to
`window` tokens behind it still sees it. Heads end with rows of different lengths; no budget binds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperscale.attention.sparse import windowed_attention
from hyperscale.backends.base import Backend, Parts
from hyperscale.hardware.jit import compiled
from hyperscale.kvcache.block_table import PAGE_SIZE
from hyperscale.model.gate_spec import GATES, KEY, GateSpec


@dataclass(frozen=True)
class DMSSettings:
    """When decisions are made and carried out. A checkpoint was trained to one window and one shift."""

    window: int = -1
    """Tokens that a decision waits for: every query up to so far ahead of a token sees it. -1: the checkpoint's."""
    decision_shift: int = -1
    """1: a token's fate is decided by the token after it, as in NVIDIA's code; 0: by itself. -1: the checkpoint's."""
    immediate: bool = False
    """The paper's ablation: the fate is decided only when the token leaves the window, `window` tokens later. A
    checkpoint that was trained so needs no setting."""

    def __post_init__(self) -> None:
        if self.window < -1:
            raise ValueError(f"window must be at least 0 tokens, or -1 for the checkpoint's, not {self.window}")
        if self.decision_shift not in (-1, 0, 1):
            raise ValueError(f"decision_shift must be 0, 1, or -1 for the checkpoint's, not {self.decision_shift}")


@compiled()
def _find_places(slots, lengths, seen, ring, decisions, evict_nk, lag, places_nk):  # type: ignore[no-untyped-def]
    """Where each row's next token goes: over the token that leaves the window if that is evicted, else to the end.

    The token at t leaves the window when t + size arrives; what t + lag decided is its fate.
    """
    size = ring.shape[2]
    for i in range(slots.shape[0]):
        s = slots[i]
        now = seen[s]
        at, decider = now % size, (now - size + lag) % size
        for h in range(lengths.shape[1]):
            place = lengths[s, h]
            if now >= size and (evict_nk[i, h] if lag == size else decisions[s, h, decider]):
                place = ring[s, h, at]
            places_nk[i, h] = place
            ring[s, h, at] = place
            decisions[s, h, at] = evict_nk[i, h]
        seen[s] = now + 1


class DMS(Backend):
    """Evict what the gates say. Of the last window + 1 tokens of a row it is kept where they lie and what they said."""

    name = "dms"
    frees = "the tokens that its gates evict, once they leave the window (needs a checkpoint with gates)"
    gated = True
    Settings = DMSSettings
    whole_prompt = True

    def __init__(self, parts: Parts, settings: Any = None) -> None:
        super().__init__(parts, settings)
        self.check_gates(parts.gates)
        assert parts.gates is not None
        chosen, gates = self.settings, parts.gates
        # Nothing leaves a window that is as long as a row can be: a longer one would only take memory.
        longest = self.rows.table.shape[-1] * PAGE_SIZE
        self.window = min(gates.window if chosen.window < 0 else chosen.window, longest)
        shift = gates.decision_shift if chosen.decision_shift < 0 else chosen.decision_shift
        self.lag = shift + (self.window if chosen.immediate or gates.immediate else 0)
        """How many tokens after a token the one comes that decides its fate: 0 to window + 1."""
        size = self.window + 1
        layers, slots, kv_heads = self.rows.lengths.shape
        # Indexed by position modulo the size: the newest token takes the entry of the one that leaves the window.
        self._ring: NDArray[np.int32] = np.zeros((layers, slots, kv_heads, size), np.int32)
        self._decisions: NDArray[np.bool_] = np.zeros((layers, slots, kv_heads, size), np.bool_)
        self._seen: NDArray[np.int64] = np.zeros((layers, slots), np.int64)

    @classmethod
    def check_gates(cls, gates: GateSpec | None) -> None:
        """ValueError if the checkpoint was not trained to evict."""
        if gates is None or gates.form == "dmc":
            found = "has no gates" if gates is None else "has the gates of DMC"
            raise ValueError(
                f"the dms backend evicts what a model's gates say, and this checkpoint {found}: use one retrofitted "
                f"with DMS, such as nvidia/Qwen3-8B-DMS-8x, or put {GATES} into its folder (or {KEY} into config.json)"
            )

    @classmethod
    def expectation(cls, gates: GateSpec | None, settings: Any) -> Callable[[int], int] | None:
        """The window, and what the checkpoint's ratio leaves of the tokens before it."""
        if gates is None or gates.ratio is None:
            return None
        ratio, recent = gates.ratio, 1 + (gates.window if settings.window < 0 else settings.window)
        return lambda length: length if length <= recent else recent + math.ceil((length - recent) / ratio)

    def begin(self, slot: int, key: int) -> None:
        """Nothing was seen."""
        self._seen[:, slot] = 0

    def fork(self, source: int, slot: int, key: int) -> None:
        """The same tokens lie in the same places."""
        for kept in (self._ring, self._decisions, self._seen):
            kept[:, slot] = kept[:, source]

    def prefill(self, layer: int, slot: int, q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, *gates: Tensor) -> Tensor:
        """Attend the whole prompt under the mask of decode; what was evicted by its end never enters the rows."""
        evict_tk = _evict(*gates)
        tokens, window = len(evict_tk), self.window
        evicted_tk = np.zeros_like(evict_tk)
        # The last tokens' fate is open; they are all within the window.
        evicted_tk[: max(tokens - self.lag, 0)] = evict_tk[self.lag :]
        recent = np.arange(max(tokens - window - 1, 0), tokens)
        keep_tk = ~evicted_tk
        keep_tk[recent] = True
        for head in range(self.rows.kv_heads):
            kept = torch.from_numpy(np.flatnonzero(keep_tk[:, head])).to(k_tkd.device)
            self.rows.fill(layer, slot, head, k_tkd[kept, head], v_tkd[kept, head])
        self._ring[layer, slot][:, recent % (window + 1)] = keep_tk.sum(0)[:, None] - (tokens - recent)
        self._decisions[layer, slot][:, recent % (window + 1)] = evict_tk[recent].T
        self._seen[layer, slot] = tokens
        return windowed_attention(q_thd, k_tkd, v_tkd, evicted_tk, window)

    def decode(
        self, layer: int, slots: NDArray[np.int64], q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *gates: Tensor
    ) -> Tensor:
        """Overwrite the evicted token that leaves the window, or append; attend the whole row."""
        evict_nk = _evict(*gates)
        places_nk = np.empty(evict_nk.shape, np.int64)
        books = self.rows.lengths[layer], self._seen[layer], self._ring[layer], self._decisions[layer]
        _find_places(slots, *books, evict_nk, self.lag, places_nk)
        self.rows.put(layer, slots, places_nk, k_nkd, v_nkd)
        return self.attend(layer, slots, q_nhd)


def _evict(logits_nk: Tensor) -> NDArray[np.bool_]:
    evict_nk: NDArray[np.bool_] = (logits_nk > 0).cpu().numpy()
    return evict_nk
