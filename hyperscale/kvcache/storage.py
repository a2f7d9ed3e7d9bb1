"""Memory for the pools of keys and values."""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

import torch
from torch import Tensor

# What Python maps by default is shared memory, which takes no huge pages.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Allocate zeros; on a CPU mapped on first touch, so that a large budget costs nothing until it is used.

    Huge pages, because rows are read here and there: a miss of the address cache would cost as much as a block.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    numbers = math.prod(shape)
    memory = mmap.mmap(-1, max(numbers * torch.empty((), dtype=dtype).element_size(), 1), **_PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # A kernel may be built without them.
            memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype)[:numbers].view(shape)
