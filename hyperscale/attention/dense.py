"""Dense causal attention, for prompts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def causal_attention(q_thd: Tensor, k_skd: Tensor, v_skd: Tensor) -> Tensor:
    """Attend t queries, the last t of s positions, each to the keys up to its own. Returns out_thd."""
    t, s = q_thd.shape[0], k_skd.shape[0]
    q_hd, k_kd, v_kd = (x.transpose(0, 1).unsqueeze(0) for x in (q_thd, k_skd, v_skd))
    mask = None
    if t != s:
        mask = torch.ones(t, s, dtype=torch.bool, device=q_thd.device).tril(s - t)
    out = scaled_dot_product_attention(q_hd, k_kd, v_kd, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return out.squeeze(0).transpose(0, 1)
