"""Operations of a layer that inference on a CPU speeds up: RMSNorm in one compiled loop, products of packed weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numba import prange
from torch import Tensor, nn

from hyperscale.hardware.jit import FASTMATH, bits, compiled, to_bf16, to_float

_MANY = 64
"""Tokens from which a parallel loop pays off."""
_ROWS = 32
"""Batch size for which the packed layout is chosen; it serves any other too."""


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


class _Packed(NamedTuple):
    """A weight in oneDNN's layout, and the version of the weight that it was packed from."""

    weight: Tensor
    version: int


def linear(x_nd: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x_nd weight^T + bias, through the packed copy of `weight` if `pack` made one and it is current."""
    packed: _Packed | None = getattr(weight, "packed", None)
    if packed is None or packed.version != weight._version or x_nd.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return F.linear(x_nd, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x_nd, packed.weight, bias, "none", [], "")
    return product


def pack(module: nn.Module, leave: Collection[Tensor] = ()) -> None:
    """Pack every bf16 matrix of a CPU module but those in `leave`: 1.5 times as fast, for a second copy in memory.

    Do nothing for other dtypes, which gain nothing, or if oneDNN or the CPU has no bf16 products.
    """
    if not can_pack():
        return
    left = {id(weight) for weight in leave}
    for weight in module.parameters():
        if (
            weight.dim() == 2
            and weight.dtype == torch.bfloat16
            and weight.device.type == "cpu"
            and id(weight) not in left
        ):
            reordered = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
            weight.packed = _Packed(reordered, weight._version)  # type: ignore[attr-defined]


def can_pack() -> bool:
    """Return whether oneDNN has these operations and multiplies bf16 on this CPU (older ones raise)."""
    wanted = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in wanted):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
