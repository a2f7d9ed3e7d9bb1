"""The student's attention: relaxed decisions act as a penalty (DMS) or as partial merges (DMC, arXiv 2403.09636).

A decision is a sigmoid of low temperature over the gate's logit and logistic noise: alpha = sigmoid((logit + G1 - G2) /
tau), where the difference of two Gumbel variables is logistic (DMS paper, Eq. 1; tau is 0.1 in NVIDIA's code).
`docs/retrofit.md` has the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hyperscale.backends.dmc import Decided
from hyperscale.model.spec import GateSpec
from hyperscale.retrofit.attention import document_attention, penalised_attention
from hyperscale.retrofit.batches import Layout

LEAST = -60.0
"""Least log(alpha): 1e-26 vanishes in an fp32 sum, and a double cumsum of thousands of these is exact enough."""

NEVER = -1e4
"""Logit of a fixed decision, which no noise changes."""


class Decision(NamedTuple):
    """Decision for each KV head and token: evict (DMS) or merge (DMC)."""

    alpha_bkt: Tensor
    """1 for an evicted or merged token, else 0, with the gradient of the soft decision (straight-through)."""
    log_kept_bkt: Tensor
    """log(1 - alpha), soft: the mask's penalty."""
    log_alpha_bkt: Tensor
    """log(alpha), soft."""


@dataclass(frozen=True)
class Noise:
    """Logistic noise of one step, a function of (seed, step, layer, row, token, KV head).

    Rows are numbered within the step's whole batch, so micro-batches and processes do not change it.
    """

    seed: int
    step: int
    rows: Sequence[int]

    def draw(self, layer: int, tokens: int, kv_heads: int) -> Tensor:
        """Draw float32 noise_bkt of a layer."""
        drawn = np.empty((len(self.rows), tokens, kv_heads), np.float32)
        for at, row in enumerate(self.rows):
            # The generator increments the first of the four words.
            philox = np.random.Philox(key=self.seed, counter=[0, row, layer, self.step])
            drawn[at] = np.random.Generator(philox).logistic(size=(tokens, kv_heads))
        return torch.from_numpy(drawn).transpose(1, 2)


def soft(logits_bkt: Tensor, noise_bkt: Tensor, tau: float) -> Decision:
    """Make the relaxed decision of training."""
    noisy_bkt = logits_bkt + noise_bkt.to(logits_bkt)
    scaled_bkt = noisy_bkt / tau
    soft_bkt = scaled_bkt.sigmoid()
    alpha_bkt = (noisy_bkt > 0).to(soft_bkt) + soft_bkt - soft_bkt.detach()
    return Decision(alpha_bkt, F.logsigmoid(-scaled_bkt), F.logsigmoid(scaled_bkt))


def hard(logits_bkt: Tensor) -> Decision:
    """Make the decision of inference, 1 iff the logit is above 0, without noise and gradient."""
    alpha_bkt = logits_bkt > 0
    zeros_bkt = torch.zeros_like(logits_bkt)
    return Decision(
        alpha_bkt.to(logits_bkt),
        zeros_bkt.masked_fill(alpha_bkt, -torch.inf),
        zeros_bkt.masked_fill(~alpha_bkt, -torch.inf),
    )


def accumulate(log_merged_bkt: Tensor, weight_bkt: Tensor, x_bktd: Tensor) -> Tensor:
    """Return the weighted mean of the cache entry at every token, float32 m_bktd.

    With z_t = alpha_t z_(t-1) + w_t the mean is m_t = (alpha_t z_(t-1) m_(t-1) + w_t x_t) / z_t, so token s has weight
    w_s alpha_(s+1) ... alpha_t at t: one triangular product for all tokens. `log_merged_bkt` is log(alpha); where it is
    -inf (a document's first token) an entry begins.
    """
    tokens = x_bktd.shape[2]
    total_bkt = log_merged_bkt.double().clamp_min(LEAST).cumsum(-1)
    later_ts = torch.ones(tokens, tokens, dtype=torch.bool, device=x_bktd.device).triu(1)
    log_share_bkts = (total_bkt[..., :, None] - total_bkt[..., None, :]).float()
    share_bkts = log_share_bkts.masked_fill(later_ts, -torch.inf).exp() * weight_bkt[..., None, :]
    with torch.autocast(x_bktd.device.type, enabled=False):
        return (share_bkts @ x_bktd.float()) / share_bkts.sum(-1, keepdim=True)


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
