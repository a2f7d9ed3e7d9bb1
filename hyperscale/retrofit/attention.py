"""Causal attention with a penalty on older keys: exact, differentiable, without a mask in memory.

Scores and their gradients have the penalty's precision whatever that of q, k and v: under autocast, bf16 would round
away the differences between scores that share a large offset. The teacher's kernels do the same.

Suffixes: b rows; k KV heads; g query heads of a group; t queries; s keys; d head dimension.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hyperscale.retrofit.batches import Layout

CHUNK = 128
"""Queries per chunk: bounds the memory of scores, and skips most of the later keys."""


def document_attention(q_bthd: Tensor, k_btkd: Tensor, v_btkd: Tensor, layout: Layout) -> Tensor:
    """Return out_bthd of full causal attention within documents."""
    q_bhtd, k_bktd, v_bktd = (x.transpose(1, 2) for x in (q_bthd, k_btkd, v_btkd))
    mask_b1ts = None
    if not layout.plain:
        column_t = torch.arange(q_bthd.shape[1], device=q_bthd.device)
        mask_b1ts = ((column_t[:, None] >= column_t) & (column_t >= layout.first_bt[..., None]))[:, None]
    out_bhtd = scaled_dot_product_attention(
        q_bhtd, k_bktd, v_bktd, attn_mask=mask_b1ts, is_causal=layout.plain, enable_gqa=True
    )
    return out_bhtd.transpose(1, 2)


def penalised_attention(
    q_bthd: Tensor, k_btkd: Tensor, v_btkd: Tensor, penalty_bks: Tensor, window: int, layout: Layout
) -> Tensor:
    """Return out_bthd as `document_attention`, with penalty_bks added to scores of keys over `window` tokens back.

    The mask of the DMS paper's Figure 2b: 0 within the window, log(1 - alpha) before it, -inf after the query. Memory
    is linear in t: the backward pass recomputes the scores.
    """
    b, t, h, d = q_bthd.shape
    kv_heads = k_btkd.shape[2]
    q_bkgtd = q_bthd.view(b, t, kv_heads, h // kv_heads, d).permute(0, 2, 3, 1, 4)
    k_bksd, v_bksd = k_btkd.transpose(1, 2), v_btkd.transpose(1, 2)
    out_bkgtd = _Attention.apply(q_bkgtd, k_bksd, v_bksd, penalty_bks, window, layout.first_bt)
    out_bthd: Tensor = out_bkgtd.permute(0, 3, 1, 2, 4).reshape(b, t, h, d)
    return out_bthd


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_bkgtd: Tensor, k_bksd: Tensor, v_bksd: Tensor, penalty_bks: Tensor, window: int, first_bt: Tensor
    ) -> Tensor:
        q_bkgtd, k_bksd, v_bksd = q_bkgtd.contiguous(), k_bksd.contiguous(), v_bksd.contiguous()
        wide_k_bksd = k_bksd.to(penalty_bks.dtype)
        out_bkgtd = torch.empty_like(q_bkgtd)
        normaliser_bkgt = penalty_bks.new_empty(q_bkgtd.shape[:-1])
        with torch.autocast(q_bkgtd.device.type, enabled=False):
            for start in range(0, q_bkgtd.shape[3], CHUNK):
                here = slice(start, min(start + CHUNK, q_bkgtd.shape[3]))
                scores_bkgts, _ = _scores(q_bkgtd, wide_k_bksd, penalty_bks, window, first_bt, here)
                normaliser_bkgt[..., here] = scores_bkgts.logsumexp(-1)
                weights_bkgts = scores_bkgts.sub_(normaliser_bkgt[..., here, None]).exp_().to(v_bksd.dtype)
                out_bkgtd[..., here, :] = _grouped(weights_bkgts, v_bksd[:, :, : here.stop])
        ctx.save_for_backward(q_bkgtd, k_bksd, v_bksd, penalty_bks, first_bt, out_bkgtd, normaliser_bkgt)
        ctx.window = window
        return out_bkgtd

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        q_bkgtd, k_bksd, v_bksd, penalty_bks, first_bt, out_bkgtd, normaliser_bkgt = ctx.saved_tensors
        d_out_bkgtd = upstream[0].to(v_bksd.dtype).contiguous()
        d_q_bkgtd = torch.empty_like(q_bkgtd)
        d_k_bksd, d_v_bksd, d_penalty_bks = (
            torch.zeros_like(x, dtype=penalty_bks.dtype) for x in (k_bksd, v_bksd, penalty_bks)
        )
        wide_k_bksd, wide_v_bksd = k_bksd.to(penalty_bks.dtype), v_bksd.to(penalty_bks.dtype)
        mean_bkgt1 = (d_out_bkgtd.to(penalty_bks.dtype) * out_bkgtd).sum(-1, keepdim=True)
        with torch.autocast(q_bkgtd.device.type, enabled=False):
            for start in range(0, q_bkgtd.shape[3], CHUNK):
                here = slice(start, min(start + CHUNK, q_bkgtd.shape[3]))
                keys = slice(0, here.stop)
                scores_bkgts, old_ts = _scores(q_bkgtd, wide_k_bksd, penalty_bks, ctx.window, first_bt, here)
                weights_bkgts = scores_bkgts.sub_(normaliser_bkgt[..., here, None]).exp_()
                d_out_bkgcd = d_out_bkgtd[..., here, :]
                d_v_bksd[:, :, keys] += _summed(weights_bkgts.to(v_bksd.dtype), d_out_bkgcd)
                d_scores_bkgts = _grouped(d_out_bkgcd.to(wide_v_bksd), wide_v_bksd[:, :, keys].transpose(-1, -2))
                d_scores_bkgts.sub_(mean_bkgt1[..., here, :]).mul_(weights_bkgts)
                d_penalty_bks[:, :, keys] += torch.einsum("bkts,ts->bks", d_scores_bkgts.sum(2), old_ts.to(d_k_bksd))
                rounded_bkgts = d_scores_bkgts.div_(math.sqrt(q_bkgtd.shape[-1])).to(q_bkgtd.dtype)
                d_q_bkgtd[..., here, :] = _grouped(rounded_bkgts, k_bksd[:, :, keys])
                d_k_bksd[:, :, keys] += _summed(rounded_bkgts, q_bkgtd[..., here, :])
        return d_q_bkgtd, d_k_bksd.to(k_bksd.dtype), d_v_bksd.to(v_bksd.dtype), d_penalty_bks, None, None


def _scores(
    q_bkgtd: Tensor, k_bksd: Tensor, penalty_bks: Tensor, window: int, first_bt: Tensor, here: slice
) -> tuple[Tensor, Tensor]:
    """Return the queries' masked scores, and old_ts: keys outside their window. k_bksd has the penalty's dtype."""
    column_s = torch.arange(here.stop, device=k_bksd.device)
    behind_ts = column_s[here.start :, None] - column_s
    hidden_bts = (behind_ts < 0) | (column_s < first_bt[:, here, None])
    old_ts = behind_ts > window
    mask_bkts = torch.where(old_ts, penalty_bks[:, :, None, : here.stop], 0.0)
    mask_bkts = mask_bkts.masked_fill_(hidden_bts[:, None], -torch.inf)
    scores_bkgts = _grouped(q_bkgtd[..., here, :].to(k_bksd.dtype), k_bksd[:, :, : here.stop].transpose(-1, -2))
    return scores_bkgts.div_(math.sqrt(q_bkgtd.shape[-1])).add_(mask_bkts[:, :, None]), old_ts


def _grouped(x_bkgtx: Tensor, y_bkxy: Tensor) -> Tensor:
    """Multiply by a matrix that a group's heads share."""
    product: Tensor = (x_bkgtx.flatten(2, 3) @ y_bkxy).unflatten(2, x_bkgtx.shape[2:4])
    return product


def _summed(x_bkgts: Tensor, y_bkgtd: Tensor) -> Tensor:
    """Sum x^T y over a group's heads and queries."""
    return x_bkgts.flatten(2, 3).transpose(-1, -2) @ y_bkgtd.flatten(2, 3)
