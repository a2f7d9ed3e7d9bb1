"""Memory that an engine's processes really held: asked of torch's allocator on a GPU, of the kernel on a CPU."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class HeldBytes:
    """The most bytes since it was made, weights, cache and all: what was held and freed before counts for nothing."""

    def __init__(self, device: torch.device) -> None:
        forget_peak(device)
        self._device = device
        self._most = 0

    def most(self) -> int:
        """The most that was held by now."""
        now = peak_resident_bytes([os.getpid()]) if self._device.type == "cpu" else _reserved(self._device)
        self._most = max(self._most, now)
        return self._most


def _reserved(device: torch.device) -> int:
    """Most bytes that torch's allocator took of a GPU: what others can't have, whether or not a tensor lies in it."""
    import torch

    return torch.cuda.max_memory_reserved(device)


def forget_peak(device: torch.device) -> None:
    """Let the peak of this process begin anew, at what is held now. Where the kernel can't, it goes on as it was."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()  # What an engine before this one gave back is reserved until then.
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # Only Linux has it.
            Path("/proc/self/clear_refs").write_text("5")


def peak_resident_bytes(processes: list[int]) -> int:
    """Sum of the peaks of the processes' resident memory (VmHWM); those that are gone count nothing."""
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
