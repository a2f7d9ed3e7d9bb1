"""Peak memory of an engine's processes: from torch's allocator on a GPU, from the kernel on a CPU."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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
        import psutil

        try:
            return int(psutil.Process(process).memory_info().rss)
        except psutil.Error:
            return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
