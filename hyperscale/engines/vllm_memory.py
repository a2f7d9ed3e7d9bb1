"""Memory that vLLM's processes hold: a GPU's as its driver counts it, a machine's as the kernel does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from hyperscale.engines.held import peak_resident_bytes
from hyperscale.engines.vllm_guard import descendants


class VllmMemory:
    """Made before vLLM starts, told when it has: whatever this process started in between is taken for vLLM's."""

    def __init__(self, *, cpu: bool, nvml: Any = None) -> None:
        self._nvml: Any = None if cpu else nvml or _nvml()
        self._cpu = cpu
        self._others = {process.pid for process in descendants(os.getpid())}
        self._before = self._used()
        self._processes: set[int] = set()
        self._most = 0

    def started(self) -> None:
        """vLLM's processes are all there."""
        self._processes = {process.pid for process in descendants(os.getpid())} - self._others | {os.getpid()}

    def most(self) -> int | None:
        """Most bytes held by now, weights, cache and all; None of a GPU that has no NVML.

        A CPU's are the sum of each process's peak, in which a page that processes share counts once for each.
        """
        if self._cpu:
            now = peak_resident_bytes(sorted(self._processes))
        elif self._nvml is None:
            return None
        else:
            # In a container the driver may know the processes by the numbers that they have outside of it.
            now = self._held(self._processes) or max(0, self._used() - self._before)
        self._most = max(self._most, now)
        return self._most

    def _held(self, processes: Iterable[int]) -> int:
        """Bytes that NVML says some processes hold, on all GPUs."""
        wanted = set(processes)
        return sum(
            process.usedGpuMemory or 0
            for device in self._devices()
            for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
            if process.pid in wanted
        )

    def _used(self) -> int:
        """Bytes in use on all GPUs, whoever holds them."""
        return sum(self._nvml.nvmlDeviceGetMemoryInfo(device).used for device in self._devices())

    def _devices(self) -> list[Any]:
        if self._nvml is None:
            return []
        return [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]


def _nvml() -> Any:
    """NVML, ready; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or an error of NVML's own types: no driver, no library
        return None
    return pynvml
