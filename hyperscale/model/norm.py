"""RMSNorm; for inference on a CPU one compiled loop replaces torch's seven operations."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numba import prange
from torch import Tensor

from hyperscale.hardware.jit import FASTMATH, bits, compiled, to_bf16, to_float

_MANY = 64
"""Tokens from which a parallel loop pays off."""


def rms_norm(x_nd: Tensor, weight_d: Tensor, eps: float) -> Tensor:
    """Return weight * x / sqrt(mean(x^2) + eps) over the last axis; in fp32, rounded to x's dtype before the weight."""
    quick = x_nd.device.type == "cpu" and x_nd.dtype in (torch.float32, torch.bfloat16) and x_nd.dim() == 2
    if not quick or torch.is_grad_enabled():
        return F.rms_norm(x_nd, x_nd.shape[-1:], weight_d, eps)
    out_nd = torch.empty_like(x_nd, memory_format=torch.contiguous_format)
    if x_nd.dtype == torch.bfloat16:
        norm = _norm_many_bf16 if len(x_nd) >= _MANY else _norm_bf16
        norm(bits(x_nd), bits(weight_d), np.float32(eps), bits(out_nd))
    else:
        _norm_fp32(x_nd.numpy(), weight_d.numpy(), np.float32(eps), out_nd.numpy())
    return out_nd


@compiled(fastmath=FASTMATH)
def _norm_fp32(x_nd, weight_d, eps, out_nd):  # type: ignore[no-untyped-def]
    for i in range(x_nd.shape[0]):
        squares = np.float32(0)
        for c in range(x_nd.shape[1]):
            squares += x_nd[i, c] * x_nd[i, c]
        scale = np.float32(1) / np.sqrt(squares / np.float32(x_nd.shape[1]) + eps)
        for c in range(x_nd.shape[1]):
            out_nd[i, c] = weight_d[c] * (x_nd[i, c] * scale)


@compiled(fastmath=FASTMATH)
def _norm_row_bf16(x_d, weight_d, eps, out_d):  # type: ignore[no-untyped-def]
    squares = np.float32(0)
    for c in range(x_d.shape[0]):
        x = to_float(x_d[c])
        squares += x * x
    scale = np.float32(1) / np.sqrt(squares / np.float32(x_d.shape[0]) + eps)
    for c in range(x_d.shape[0]):
        normed = to_float(to_bf16(to_float(x_d[c]) * scale))
        out_d[c] = to_bf16(to_float(weight_d[c]) * normed)


@compiled(fastmath=FASTMATH)
def _norm_bf16(x_nd, weight_d, eps, out_nd):  # type: ignore[no-untyped-def]
    for i in range(x_nd.shape[0]):
        _norm_row_bf16(x_nd[i], weight_d, eps, out_nd[i])


@compiled(fastmath=FASTMATH, parallel=True)
def _norm_many_bf16(x_nd, weight_d, eps, out_nd):  # type: ignore[no-untyped-def]
    for i in prange(x_nd.shape[0]):
        _norm_row_bf16(x_nd[i], weight_d, eps, out_nd[i])
