"""Attention mass on each key of a dense prefill, for policies that score tokens by attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SCORES = 2**23
"""Most scores held at a time (32 MiB of fp32), however long the prompt."""


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
