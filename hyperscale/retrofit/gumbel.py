"""The relaxed decision: a sigmoid of low temperature over the gate's logit and logistic noise.

alpha = sigmoid((logit + G1 - G2) / tau), where the difference of two Gumbel variables is a logistic one (design of the
DMS paper, Eq. 1; tau is 0.1 in NVIDIA's code).
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
    """What is decided for each KV head and token (axes b, k, t), and what of it carries gradients."""

    alpha_bkt: Tensor
    """1 where the token is given up, 0 where it is kept, with the gradient of the soft decision (straight-through)."""
    log_kept_bkt: Tensor
    """log(1 - alpha), soft: what stands in the mask."""
    log_given_up_bkt: Tensor
    """log(alpha), soft."""


@dataclass(frozen=True)
class Noise:
    """Logistic noise of one step, a function of (seed, step, layer, row, token, KV head).

    Rows are numbered within the step's whole batch, so how it is cut among passes and processes changes nothing.
    """

    seed: int
    step: int
    rows: Sequence[int]

    def draw(self, layer: int, tokens: int, kv_heads: int) -> Tensor:
        """noise_bkt, float32."""
        drawn = np.empty((len(self.rows), tokens, kv_heads), np.float32)
        for at, row in enumerate(self.rows):
            # The first of the four words is what the generator counts up.
            philox = np.random.Philox(key=self.seed, counter=[0, row, layer, self.step])
            drawn[at] = np.random.Generator(philox).logistic(size=(tokens, kv_heads))
        return torch.from_numpy(drawn).transpose(1, 2)


def soft(logits_bkt: Tensor, noise_bkt: Tensor, tau: float) -> Decision:
    """The decision of training."""
    noisy_bkt = logits_bkt + noise_bkt.to(logits_bkt)
    scaled_bkt = noisy_bkt / tau
    soft_bkt = scaled_bkt.sigmoid()
    alpha_bkt = (noisy_bkt > 0).to(soft_bkt) + soft_bkt - soft_bkt.detach()
    return Decision(alpha_bkt, F.logsigmoid(-scaled_bkt), F.logsigmoid(scaled_bkt))


def hard(logits_bkt: Tensor) -> Decision:
    """The decision of inference: given up iff the logit is above 0. No noise, no gradient."""
    given_up_bkt = logits_bkt > 0
    zeros_bkt = torch.zeros_like(logits_bkt)
    return Decision(
        given_up_bkt.to(logits_bkt),
        zeros_bkt.masked_fill(given_up_bkt, -torch.inf),
        zeros_bkt.masked_fill(~given_up_bkt, -torch.inf),
    )
