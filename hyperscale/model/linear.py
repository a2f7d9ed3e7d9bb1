"""Matrix products of inference. On a CPU, oneDNN reorders a bf16 weight at every call unless it comes packed."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 32
"""Rows that the packed layout is made for; it serves any number."""


class _Packed(NamedTuple):
    """A weight in oneDNN's own layout, and the version of the weight that it was made from."""

    weight: Tensor
    version: int


def linear(x_nd: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x_nd weight^T + bias; through the packed copy of `weight` where `pack` made one that is still current."""
    packed: _Packed | None = getattr(weight, "packed", None)
    if packed is None or packed.version != weight._version or x_nd.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return F.linear(x_nd, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x_nd, packed.weight, bias, "none", [], "")


def pack(module: nn.Module, leave: Collection[Tensor] = ()) -> None:
    """Give every bf16 matrix of a CPU module but `leave` its packed copy: half again as fast, for a copy's memory.

    Nothing happens where oneDNN or the CPU has no bf16 products, or for other types, which gain nothing.
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
    """Whether oneDNN is there, has these operations, and can multiply bf16 on this CPU (older ones raise)."""
    wanted = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in wanted):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
