"""Devices: peak FLOP/s, bandwidth and memory, published for presets, measured for this machine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

THIS = "this"
"""Device name of this machine."""

CPU = "CPU"
"""Device name of a measured CPU."""

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_PRODUCT_SECONDS = 0.4
_LEAST_SIZE, _GREATEST_SIZE = 2**7, 2**13
_COPIED_BYTES = 2**28


@dataclass(frozen=True)
class Device:
    """Peaks of a device."""

    name: str
    flops: float
    """Peak FLOP/s, dense."""
    bandwidth: float
    """Memory bandwidth in bytes/s."""
    memory_bytes: float


PRESETS = {
    "h100": Device("h100", 989.5e12, 3.35e12, 80e9),
    "h200": Device("h200", 989.5e12, 4.8e12, 141e9),
    "a100": Device("a100", 312e12, 2.039e12, 80e9),
}
"""NVIDIA's data sheets: SXM boards, 16-bit numbers without sparsity (h100 as in the paper). A GB is 10^9 bytes, a few
percent less than the cards report."""

_FLOAT32_FLOPS = {"h100": 67e12, "h200": 67e12, "a100": 19.5e12}
"""Plain fp32 without tensor cores: torch's default leaves TF32 off."""

_GPU_NAMES = {
    "h200": r"\bH200\b",
    "h100": r"\bH100\b.*(\bSXM|80GB HBM3)",
    "a100": r"\bA100-SXM\d?-80GB\b",
}
_OTHERS = r"PCIe|NVL|MIG"
"""Boards of the same chips with other peaks, and MIG slices."""


def number_bytes(dtype: str) -> int:
    """Return the bytes of a number of this dtype; ValueError if the dtype is unknown."""
    if dtype not in DTYPE_BYTES:
        raise ValueError(f"dtype {dtype!r}: expected one of {', '.join(DTYPE_BYTES)}")
    return DTYPE_BYTES[dtype]


def find_device(name: str, dtype: str) -> Device:
    """Return a preset, or "this" machine measured, with its peak for `dtype`; ValueError if the name is unknown.

    float32 on a preset is plain fp32, not TF32: torch's default.
    """
    if name == THIS:
        return this_machine(dtype)
    if name not in PRESETS:
        raise ValueError(
            f"accelerator {name!r} is not known: use {', '.join(PRESETS)}, or {THIS} to measure this machine"
        )
    peak = _FLOAT32_FLOPS[name] if number_bytes(dtype) == 4 else PRESETS[name].flops
    return replace(PRESETS[name], flops=peak)


def matching_preset(gpu_name: str) -> str | None:
    """Return the preset of a GPU name as torch and NVML report it; None for another board."""
    if re.search(_OTHERS, gpu_name):
        return None
    return next((name for name, pattern in _GPU_NAMES.items() if re.search(pattern, gpu_name)), None)


def own_preset() -> str | None:
    """Return the preset of this machine's first GPU; None without a GPU, or for another board."""
    import torch

    return matching_preset(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def device_at(kind: str, dtype: str) -> Device:
    """Return the device that torch names `kind` (cpu, cuda:1): its board's preset if there is one, else measured."""
    import torch

    if not kind.startswith("cuda"):
        return this_machine(dtype, "cpu")
    preset = matching_preset(torch.cuda.get_device_name(torch.device(kind)))
    return this_machine(dtype, kind) if preset is None else find_device(preset, dtype)


@cache
def this_machine(dtype: str, device: str = "auto") -> Device:
    """Measure this machine, once per process and in about a second: the first GPU if there is one, else the CPU.

    FLOP/s: the best matrix product in `dtype`; on a CPU, the better of that and float32, in which attention is
    computed whatever the cache's dtype. Bytes/s: the better of a copy (reads and writes) and a sum (reads).
    This process's peak memory is reset afterwards if the measurement raised it and the kernel supports that.
    """
    import os

    import torch

    from hyperscale.hardware.memory import forget_peak, peak_resident_bytes

    number_bytes(dtype)
    kind = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    dtypes = {dtype} if kind.type == "cuda" else {dtype, "float32"}
    peak = peak_resident_bytes([os.getpid()])
    found = Device(
        torch.cuda.get_device_name(kind) if kind.type == "cuda" else CPU,
        max(_gemm_flops(name, kind) for name in dtypes),
        _bandwidth(kind),
        _memory(kind),
    )
    if kind.type == "cuda" or peak_resident_bytes([os.getpid()]) > peak:
        forget_peak(kind)
    return found


@cache
def _gemm_flops(dtype: str, device: torch.device) -> float:
    """Measure the best FLOP/s of square products; sizes double while three of the next fit into _PRODUCT_SECONDS."""
    import torch

    best, size, seconds = 0.0, _LEAST_SIZE, 0.0
    while size <= _GREATEST_SIZE and 3 * 8 * seconds < _PRODUCT_SECONDS:
        a, b = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
        multiply = partial(torch.matmul, a, b)
        multiply()  # The first product also loads the kernels.
        seconds = min(_seconds(multiply, device) for _ in range(3))
        best = max(best, 2 * size**3 / seconds)
        size *= 2
    return best


@cache
def _bandwidth(device: torch.device) -> float:
    import torch

    source = torch.ones(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)  # The first write maps the pages.
    copied = min(_seconds(partial(target.copy_, source), device) for _ in range(5))
    read = min(_seconds(source.sum, device) for _ in range(5))
    return max(2 * _COPIED_BYTES / copied, _COPIED_BYTES / read)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    import torch

    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def _memory(device: torch.device) -> float:
    import psutil
    import torch

    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        limit = float(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # No cgroup, or "max".
        return float(psutil.virtual_memory().total)
    return min(limit, float(psutil.virtual_memory().total))
