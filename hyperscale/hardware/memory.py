"""Bytes of KV cache that a device can spare: the default of --memory-budget."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

CACHE_SHARE = {"cpu": 0.5, "cuda": 0.8}
"""Part of what the weights leave free that the KV cache takes: activations, logits and the system need the rest."""
_GROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Bytes of KV cache that this device can spare now: the default of --memory-budget."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()  # What an engine before this one gave back is free only then.
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = min(psutil.virtual_memory().available, _cgroup_room())
    return int(free * CACHE_SHARE[device.type])


def lent_bytes(device: torch.device, share: float) -> int:
    """Bytes of KV cache for one of several processes that use a device side by side, its weights loaded already.

    Each has `share` of the whole device, whichever of them was there first, and no more than is free.
    """
    if device.type == "cuda":
        import torch

        held, whole = torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[1]
    else:
        held, whole = psutil.Process().memory_info().rss, min(psutil.virtual_memory().total, _cgroup_limit())
    return max(0, min(int(whole * share * CACHE_SHARE[device.type]) - held, free_bytes(device)))


def _cgroup_limit() -> float:
    """Bytes that the container may hold; infinite outside of one."""
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        return inf if limit == "max" else int(limit)
    except (OSError, ValueError):
        return inf


def _cgroup_room() -> float:
    """Bytes that the container leaves to this process's group; infinite outside of one."""
    try:
        return _cgroup_limit() - int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return inf
