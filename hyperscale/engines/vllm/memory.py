"""Memory that vLLM's processes hold: a GPU's as its driver counts it, a machine's as the kernel does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

from hyperscale.engines.vllm.guard import descendants
from hyperscale.hardware.held import peak_resident_bytes


class VllmMemory:
    """Made before vLLM starts, told when it has: whatever this process started in between is taken for vLLM's."""

    def __init__(self, *, cpu: bool, nvml: Any = None) -> None:
        self._nvml: Any = None if cpu else nvml or _nvml()
        self._cpu = cpu
        self._others = {process.pid for process in descendants(psutil.Process())}
        self._before = self._used()
        self._processes: set[int] = set()
        self._most: int | None = None

    def started(self) -> None:
        """vLLM's processes are all there."""
        here = psutil.Process()
        self._processes = {process.pid for process in descendants(here)} - self._others | {here.pid}

    def most(self) -> int | None:
        """Most bytes held by now, weights, cache and all; None of a GPU whose NVML is not there, or does not tell.

        A CPU's are the sum of each process's peak, in which a page that processes share counts once for each.
        """
        now = peak_resident_bytes(sorted(self._processes)) if self._cpu else self._held() or self._growth()
        if now is not None:
            self._most = max(self._most or 0, now)
        return self._most

    def _growth(self) -> int | None:
        """Bytes in use beyond those before. In a container the driver may know the processes by numbers outside it."""
        now = self._used()
        return None if now is None or self._before is None else max(0, now - self._before)

    def _held(self) -> int | None:
        """Bytes that NVML says vLLM's processes hold, on all GPUs."""
        return self._over_devices(
            lambda device: sum(
                process.usedGpuMemory or 0
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
                if process.pid in self._processes
            )
        )

    def _used(self) -> int | None:
        """Bytes in use on all GPUs, whoever holds them."""
        return self._over_devices(lambda device: int(self._nvml.nvmlDeviceGetMemoryInfo(device).used))

    def _over_devices(self, count: Callable[[Any], int]) -> int | None:
        """Sum over all GPUs; None without NVML, or where it refuses: memory that GPU and CPU share, slices (MIG)."""
        if self._nvml is None:
            return None
        try:
            devices = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
            return sum(map(count, devices))
        except self._nvml.NVMLError:
            return None


def _nvml() -> Any:
    """NVML, ready; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or an error of NVML's own types: no driver, no library
        return None
    return pynvml
