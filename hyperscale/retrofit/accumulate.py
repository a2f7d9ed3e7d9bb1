"""DMC's relaxation: every token's slot as it stands if tokens merged by degrees (arXiv 2403.09636, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = -60.0
"""Least log(alpha): a share of 1e-26 is none in a sum of fp32, and double precision adds thousands of them exactly."""


def accumulate(log_merged_bkt: Tensor, weight_bkt: Tensor, x_bktd: Tensor) -> Tensor:
    """Weighted means of the slots that tokens stand in, each as it stood at its own token.

    With z_t = alpha_t z_(t-1) + w_t the mean is m_t = (alpha_t z_(t-1) m_(t-1) + w_t x_t) / z_t. Token s so counts
    w_s alpha_(s+1) ... alpha_t in the mean at t: all tokens at once, as one triangular product. `log_merged_bkt` is
    log(alpha); where it is -inf (a document's first token) a slot begins.
    """
    tokens = x_bktd.shape[2]
    total_bkt = log_merged_bkt.double().clamp_min(LEAST).cumsum(-1)
    later_ts = torch.ones(tokens, tokens, dtype=torch.bool, device=x_bktd.device).triu(1)
    log_share_bkts = (total_bkt[..., :, None] - total_bkt[..., None, :]).float()
    share_bkts = log_share_bkts.masked_fill(later_ts, -torch.inf).exp() * weight_bkt[..., None, :]
    with torch.autocast(x_bktd.device.type, enabled=False):
        return (share_bkts @ x_bktd.float()) / share_bkts.sum(-1, keepdim=True)
