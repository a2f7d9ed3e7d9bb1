"""Accelerators: peak FLOP/s, bandwidth and memory, as published for some, as measured for the machine at hand."""

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
"""Name of the machine at hand among devices."""

CPU = "CPU"
"""Name of a measured CPU."""

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_PRODUCT_SECONDS = 0.4
_LEAST_SIZE, _GREATEST_SIZE = 2**7, 2**13
_COPIED_BYTES = 2**28


@dataclass(frozen=True)
class Device:
    """What bounds a device."""

    name: str
    flops: float
    """Peak FLOP/s, dense."""
    bandwidth: float
    """Bytes/s of its memory."""
    memory_bytes: float


PRESETS = {
    "h100": Device("h100", 989.5e12, 3.35e12, 80e9),
    "h200": Device("h200", 989.5e12, 4.8e12, 141e9),
    "a100": Device("a100", 312e12, 2.039e12, 80e9),
}
"""NVIDIA's data sheets: SXM boards, 16-bit numbers without sparsity (h100 as in the paper). GB are taken as 10^9 bytes,
a few percent less than the cards report."""

_FLOAT32_FLOPS = {"h100": 67e12, "h200": 67e12, "a100": 19.5e12}
"""Plain fp32, off the tensor cores: torch's default, which leaves TF32 off."""

_GPU_NAMES = {
    "h200": r"\bH200\b",
    "h100": r"\bH100\b.*(\bSXM|80GB HBM3)",
    "a100": r"\bA100-SXM\d?-80GB\b",
}
_OTHERS = r"PCIe|NVL|MIG"
"""Boards of the same chips with other peaks, and slices of one."""


def number_bytes(dtype: str) -> int:
    """Bytes of a number. ValueError where the name is not among those that are stored."""
    if dtype not in DTYPE_BYTES:
        raise ValueError(f"dtype {dtype!r}: expected one of {', '.join(DTYPE_BYTES)}")
    return DTYPE_BYTES[dtype]


def find_device(name: str, dtype: str) -> Device:
    """A preset, or "this" machine measured, at its peak for `dtype`.

    float32 on a preset is plain fp32, not TF32, as torch computes it unless told otherwise.
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
    """The preset of a GPU's name as torch and NVML report it; None where it is another board."""
    if re.search(_OTHERS, gpu_name):
        return None
    return next((name for name, pattern in _GPU_NAMES.items() if re.search(pattern, gpu_name)), None)


def own_preset() -> str | None:
    """The preset of this machine's first GPU; None without one, or with another board."""
    import torch

    return matching_preset(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def device_at(kind: str, dtype: str) -> Device:
    """The device that torch names `kind` (cpu, cuda:1): a preset where its board has one, else measured."""
    import torch

    if not kind.startswith("cuda"):
        return this_machine(dtype, "cpu")
    preset = matching_preset(torch.cuda.get_device_name(torch.device(kind)))
    return this_machine(dtype, kind) if preset is None else find_device(preset, dtype)


@cache
def this_machine(dtype: str, device: str = "auto") -> Device:
    """This machine, measured in about a second and once a process: the first GPU where there is one, else its cores.

    FLOP/s: the best matrix product in `dtype`; of a CPU, the better of that and float32, in which its attention is
    computed whatever the cache holds. Bytes/s: the better of a copy, which reads and writes, and a sum, which reads.
    What measuring holds leaves no trace in the peak of this process, where the kernel lets that begin anew.
    """
    import os

    import torch

    from hyperscale.hardware.held import forget_peak, peak_resident_bytes

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
    """Best FLOP/s of square products, of sizes that double while three of the next should take less than their time."""
    import torch

    best, size, seconds = 0.0, _LEAST_SIZE, 0.0
    while size <= _GREATEST_SIZE and 3 * 8 * seconds < _PRODUCT_SECONDS:
        a, b = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
        multiply = partial(torch.matmul, a, b)
        multiply()  # The first product of a kind also loads what computes it.
        seconds = min(_seconds(multiply, device) for _ in range(3))
        best = max(best, 2 * size**3 / seconds)
        size *= 2
    return best


@cache
def _bandwidth(device: torch.device) -> float:
    import torch

    source = torch.ones(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)  # Pages are mapped when they are first written.
    copied = min(_seconds(partial(target.copy_, source), device) for _ in range(5))
    read = min(_seconds(source.sum, device) for _ in range(5))
    return max(2 * _COPIED_BYTES / copied, _COPIED_BYTES / read)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    import torch

    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
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
    except (OSError, ValueError):  # No group, or "max".
        return float(psutil.virtual_memory().total)
    return min(limit, float(psutil.virtual_memory().total))
