"""Attention over prompts: dense and causal, or with tokens evicted on the way; and the attention mass on each key."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

CHUNK = 512
"""Queries attended together; bounds the mask's memory."""

_SCORES = 2**23
"""Most scores held at a time (32 MiB of fp32), however long the prompt."""


def causal_attention(q_thd: Tensor, k_skd: Tensor, v_skd: Tensor) -> Tensor:
    """Attend t queries, the last t of s positions, each to the keys up to its own. Returns out_thd."""
    t, s = q_thd.shape[0], k_skd.shape[0]
    q_hd, k_kd, v_kd = (x.transpose(0, 1).unsqueeze(0) for x in (q_thd, k_skd, v_skd))
    mask = None
    if t != s:
        mask = torch.ones(t, s, dtype=torch.bool, device=q_thd.device).tril(s - t)
    out = scaled_dot_product_attention(q_hd, k_kd, v_kd, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return out.squeeze(0).transpose(0, 1)


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


def attention_mass(q_thd: Tensor, k_skd: Tensor) -> Tensor:
    """Sum the attention on each of s keys over t queries (the last t of s positions) and the heads of each group.

    Causal: a query attends the keys up to its own. Returns mass_ks in fp32.
    """
    (t, heads, head_dim), (s, kv_heads, _) = q_thd.shape, k_skd.shape
    q_kgtd = q_thd.float().reshape(t, kv_heads, -1, head_dim).permute(1, 2, 0, 3) / math.sqrt(head_dim)
    k_kds = k_skd.float().permute(1, 2, 0)
    mass_ks = q_kgtd.new_zeros(kv_heads, s)
    size = max(1, _SCORES // (heads * s))
    for start in range(0, t, size):
        q_kgcd = q_kgtd[:, :, start : start + size]
        chunk = q_kgcd.shape[2]
        seen = s - t + start + chunk  # No query of this chunk attends a later key.
        scores_kgcs = (q_kgcd.flatten(1, 2) @ k_kds[..., :seen]).view(kv_heads, -1, chunk, seen)
        later_cs = torch.ones(chunk, seen, dtype=torch.bool, device=q_thd.device).triu(seen - chunk + 1)
        mass_ks[:, :seen] += scores_kgcs.masked_fill_(later_cs, -torch.inf).softmax(-1).sum((1, 2))
    return mass_ks
