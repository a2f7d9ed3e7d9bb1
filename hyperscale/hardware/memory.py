"""Memory of a device: what it can spare for the KV cache, and the peak that an engine's processes held."""

from __future__ import annotations

import os
from contextlib import suppress
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


class HeldBytes:
    """Peak bytes held since construction, weights and KV cache included."""

    def __init__(self, device: torch.device) -> None:
        forget_peak(device)
        self._device = device
        self._most = 0

    def most(self) -> int:
        """Return the peak up to now, in bytes."""
        now = peak_resident_bytes([os.getpid()]) if self._device.type == "cpu" else _reserved(self._device)
        self._most = max(self._most, now)
        return self._most


def _reserved(device: torch.device) -> int:
    """Return the peak bytes that torch's allocator reserved on a GPU, in use or not."""
    import torch

    return torch.cuda.max_memory_reserved(device)


def forget_peak(device: torch.device) -> None:
    """Reset this process's peak to what it holds now; do nothing where the kernel does not support that."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()  # Freed tensors of an earlier engine stay reserved until then.
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # Linux only.
            Path("/proc/self/clear_refs").write_text("5")


def peak_resident_bytes(processes: list[int]) -> int:
    """Sum the processes' peak resident bytes (VmHWM); 0 for one that has ended."""
    return sum(_peak(process) for process in processes)


def _peak(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        try:
            return int(psutil.Process(process).memory_info().rss)
        except psutil.Error:
            return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
