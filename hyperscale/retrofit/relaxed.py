"""The student's attention: decisions act as a penalty (DMS) or as partial merges (DMC).

`docs/retrofit.md` has the formulas.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperscale.backends.dmc import Decided
from hyperscale.model.gate_spec import GateSpec
from hyperscale.retrofit.accumulate import accumulate
from hyperscale.retrofit.attention import document_attention, penalised_attention
from hyperscale.retrofit.batches import Layout
from hyperscale.retrofit.gumbel import Decision, Noise, hard, soft

NEVER = -1e4
"""Logit of a fixed decision, which no noise changes."""


class FullAttention:
    """Full attention of the teacher, and of the student in the fading phase."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __call__(self, layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor) -> Tensor:
        """Return out_nhd."""
        shape = self._layout.first_bt.shape
        q, k, v = (_alike(x).unflatten(0, shape) for x in (q_nhd, k_nkd, v_nkd))
        return document_attention(q, k, v, self._layout).flatten(0, 1)


class RelaxedAttention:
    """Attention under the gates for one batch; `noise` None makes every decision hard, as in the backends.

    `alphas_bkt` holds each layer's decisions after the pass.
    """

    def __init__(self, gates: GateSpec, layout: Layout, noise: Noise | None, tau: float) -> None:
        self._gates, self._layout, self._noise, self._tau = gates, layout, noise, tau
        # DMC: a merging token overwrites the entry before it at once.
        self.window, self.lag = (0, 1) if gates.form == "dmc" else (gates.window, gates.decision_shift)
        self.lag += self.window if gates.immediate else 0
        self.alphas_bkt: dict[int, Tensor] = {}

    def __call__(self, layer: int, q_nhd: Tensor, k_nkd: Tensor, v_nkd: Tensor, *gates: Tensor) -> Tensor:
        """Return out_nhd."""
        q, k, v = (_alike(x).unflatten(0, self._layout.first_bt.shape) for x in (q_nhd, k_nkd, v_nkd))
        logits_bkt = gates[0].unflatten(0, self._layout.first_bt.shape).transpose(1, 2)
        merges = self._gates.form == "dmc"
        if merges:
            # A document's first token has no entry to merge into.
            logits_bkt = logits_bkt.masked_fill(self._layout.starts_bt[:, None], NEVER)
        decision = self._decide(layer, logits_bkt)
        self.alphas_bkt[layer] = decision.alpha_bkt
        if merges:
            k, v = self._merged(decision, v, Decided(*gates))
        # The token `lag` after a key decides its penalty; the last keys are still undecided.
        penalty_bks = F.pad(decision.log_kept_bkt[..., self.lag :], (0, min(self.lag, logits_bkt.shape[-1])))
        return penalised_attention(q, k, v, penalty_bks, self.window, self._layout).flatten(0, 1)

    def _decide(self, layer: int, logits_bkt: Tensor) -> Decision:
        if self._noise is None:
            return hard(logits_bkt)
        _, kv_heads, tokens = logits_bkt.shape
        return soft(logits_bkt, self._noise.draw(layer, tokens, kv_heads), self._tau)

    def _merged(self, decision: Decision, v_btkd: Tensor, decided: Decided) -> tuple[Tensor, Tensor]:
        """Return keys and values of the entry at every token; keys are averaged before RoPE, then rotated."""
        shape = self._layout.first_bt.shape
        weight_bkt = decided.weight_nk1.unflatten(0, shape).squeeze(-1).transpose(1, 2)
        unrotated_bktd = decided.unrotated_nkd.unflatten(0, shape).transpose(1, 2)
        both_bktx = torch.cat((unrotated_bktd, v_btkd.transpose(1, 2).to(unrotated_bktd.dtype)), dim=-1)
        means_btkx = accumulate(decision.log_alpha_bkt, weight_bkt, both_bktx).transpose(1, 2)
        means_k, means_v = means_btkx.split((unrotated_bktd.shape[-1], v_btkd.shape[-1]), dim=-1)
        k_nkd = decided.rotated(means_k.flatten(0, 1))
        return k_nkd.unflatten(0, shape).to(v_btkd.dtype), means_v.to(v_btkd.dtype)


def _alike(x_nhd: Tensor) -> Tensor:
    """Cast to autocast's dtype, if it is enabled."""
    kind = x_nhd.device.type
    return x_nhd.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x_nhd
