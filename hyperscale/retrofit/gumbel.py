"""The relaxed decision: a sigmoid of low temperature over the gate's logit and logistic noise.

alpha = sigmoid((logit + G1 - G2) / tau), where the difference of two Gumbel variables is logistic (DMS paper, Eq. 1;
tau is 0.1 in NVIDIA's code).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


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
