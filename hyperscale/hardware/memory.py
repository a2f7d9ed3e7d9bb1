"""Memory that a device can spare for the KV cache: the default of --memory-budget."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

CACHE_SHARE = {"cpu": 0.5, "cuda": 0.8}
"""Share of the memory left free by the weights; activations, logits and the system need the rest."""
_GROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Return the bytes that this device can spare for the KV cache now."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()  # Freed tensors of an earlier engine stay reserved until then.
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = min(psutil.virtual_memory().available, _cgroup_room())
    return int(free * CACHE_SHARE[device.type])


def lent_bytes(device: torch.device, share: float) -> int:
    """Return the bytes of KV cache for one of several processes on a device, its weights loaded already.

    Each gets `share` of the whole device, in whatever order they start, and no more than is free.
    """
    if device.type == "cuda":
        import torch

        held, whole = torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[1]
    else:
        held, whole = psutil.Process().memory_info().rss, min(psutil.virtual_memory().total, _cgroup_limit())
    return max(0, min(int(whole * share * CACHE_SHARE[device.type]) - held, free_bytes(device)))


def _cgroup_limit() -> float:
    """Return the container's memory limit in bytes; infinite outside a container."""
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        return inf if limit == "max" else int(limit)
    except (OSError, ValueError):
        return inf


def _cgroup_room() -> float:
    """Return the bytes left below the container's limit; infinite outside a container."""
    try:
        return _cgroup_limit() - int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return inf
