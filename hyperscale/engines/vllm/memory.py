"""Measure the memory of vLLM's processes: a GPU's by NVML, a machine's by the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

from hyperscale.engines.vllm.guard import descendants
from hyperscale.hardware.held import peak_resident_bytes


class VllmMemory:
    """Memory of vLLM's processes: those that this process starts between construction and `started`."""

    def __init__(self, *, cpu: bool, nvml: Any = None) -> None:
        self._nvml: Any = None if cpu else nvml or _nvml()
        self._cpu = cpu
        self._others = {process.pid for process in descendants(psutil.Process())}
        self._before = self._used()
        self._processes: set[int] = set()
        self._most: int | None = None

    def started(self) -> None:
        """Note that all of vLLM's processes run."""
        here = psutil.Process()
        self._processes = {process.pid for process in descendants(here)} - self._others | {here.pid}

    def most(self) -> int | None:
        """Return the peak of bytes held so far, all included; None for a GPU without usable NVML.

        On a CPU it is the sum of the processes' peaks, where a shared page counts once for each.
        """
        now = peak_resident_bytes(sorted(self._processes)) if self._cpu else self._held() or self._growth()
        if now is not None:
            self._most = max(self._most or 0, now)
        return self._most

    def _growth(self) -> int | None:
        """Return the bytes in use beyond those at construction: in a container NVML may see other process numbers."""
        now = self._used()
        return None if now is None or self._before is None else max(0, now - self._before)

    def _held(self) -> int | None:
        """Return the bytes that vLLM's processes hold on all GPUs, by NVML."""
        return self._over_devices(
            lambda device: sum(
                process.usedGpuMemory or 0
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
                if process.pid in self._processes
            )
        )

    def _used(self) -> int | None:
        """Return the bytes in use on all GPUs, by any process."""
        return self._over_devices(lambda device: int(self._nvml.nvmlDeviceGetMemoryInfo(device).used))

    def _over_devices(self, count: Callable[[Any], int]) -> int | None:
        """Sum over all GPUs; None without NVML or its support: memory shared by GPU and CPU, slices (MIG)."""
        if self._nvml is None:
            return None
        try:
            devices = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
            return sum(map(count, devices))
        except self._nvml.NVMLError:
            return None


def _nvml() -> Any:
    """Initialize NVML; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or an error of NVML's own types: no driver, no library
        return None
    return pynvml
