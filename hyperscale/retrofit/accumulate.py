"""DMC's relaxation: the cache entry at every token under partial merges (arXiv 2403.09636, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = -60.0
"""Least log(alpha): 1e-26 vanishes in an fp32 sum, and a double cumsum of thousands of these is exact enough."""


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
