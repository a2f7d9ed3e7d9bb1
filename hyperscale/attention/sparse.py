"""Causal attention over a prompt whose tokens are evicted on the way; cost follows the keys that are still seen."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hyperscale.attention.dense import causal_attention

CHUNK = 512
"""Queries attended together; bounds the mask's memory."""


def windowed_attention(
    q_thd: Tensor, k_tkd: Tensor, v_tkd: Tensor, evicted_tk: NDArray[np.bool_], window: int
) -> Tensor:
    """Attend t queries of a sequence from its start; an evicted key is seen from at most `window` tokens ahead.

    Returns out_thd.
    """
    tokens, kv_heads = evicted_tk.shape
    if not evicted_tk[: max(tokens - window - 1, 0)].any():
        return causal_attention(q_thd, k_tkd, v_tkd)
    group = q_thd.shape[1] // kv_heads
    out_thd = torch.empty_like(q_thd)
    position_t = np.arange(tokens)
    for head in range(kv_heads):
        heads = slice(head * group, (head + 1) * group)
        k_td, v_td, evicted_t = k_tkd[:, head], v_tkd[:, head], evicted_tk[:, head]
        for start in range(0, tokens, CHUNK):
            here = slice(start, min(start + CHUNK, tokens))
            # Only keys that some query of the chunk sees take part.
            seen_s = np.flatnonzero((position_t >= start - window) | ~evicted_t)
            seen_s = seen_s[: np.searchsorted(seen_s, here.stop)]
            behind_ts = position_t[here, None] - seen_s
            mask_ts = (behind_ts >= 0) & ((behind_ts <= window) | ~evicted_t[seen_s])
            index, mask = (torch.from_numpy(x).to(q_thd.device) for x in (seen_s, mask_ts))
            out_thd[here, heads] = _attend(q_thd[here, heads], k_td[index], v_td[index], mask)
    return out_thd


def _attend(q_tgd: Tensor, k_sd: Tensor, v_sd: Tensor, mask_ts: Tensor) -> Tensor:
    k_1gsd, v_1gsd = (x_sd[None, None].expand(1, q_tgd.shape[1], -1, -1) for x_sd in (k_sd, v_sd))
    out_1gtd = scaled_dot_product_attention(q_tgd.transpose(0, 1)[None], k_1gsd, v_1gsd, attn_mask=mask_ts)
    return out_1gtd[0].transpose(0, 1)
