"""What an engine says that it held: since it was made, and of its own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
import torch

from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.torch.engine import TorchEngine
from hyperscale.hardware import devices
from hyperscale.hardware.memory import HeldBytes, forget_peak, peak_resident_bytes
from hyperscale.model.load import Model, load_model
from tests.tiny_models import write_tiny_model

CPU = torch.device("cpu")
MIB = 2**20


def kernel_forgets() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


needs_kernel = pytest.mark.skipif(not kernel_forgets(), reason="the kernel keeps a process's peak for good")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = write_tiny_model(tmp_path_factory.mktemp("model") / "qwen3", "qwen3", num_key_value_heads=2)
    return load_model(str(folder), dtype="float32", device="cpu")


def resident() -> int:
    return next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


def made(model: Model) -> TorchEngine:
    return TorchEngine(model, sampling=Sampling(), length_cap=200, max_batch=8, memory_budget=2**24)


def held_after(engine: TorchEngine) -> int:
    (chain,) = engine.generate([Job("task", "p", tuple(range(30, 40)), {0: 60})])
    assert chain.device_bytes is not None
    return chain.device_bytes


@needs_kernel
def test_an_engine_after_a_larger_one_reports_less(model: Model) -> None:
    engine = made(model)
    ballast = torch.ones(256 * MIB // 4)
    large = held_after(engine)
    assert large >= resident() - MIB
    del ballast, engine
    small = held_after(made(model))
    assert small < large - 200 * MIB
    assert small >= 0.9 * resident()


@needs_kernel
def test_the_peak_is_kept_between_questions() -> None:
    held = HeldBytes(CPU)
    before = held.most()
    ballast = torch.ones(128 * MIB // 4)
    del ballast
    assert held.most() >= before + 120 * MIB
    forget_peak(CPU)
    assert held.most() >= before + 120 * MIB, "what was told once stands"


@needs_kernel
def test_measuring_the_machine_is_not_held_by_the_engine(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for measured in (devices.this_machine, devices._bandwidth, devices._gemm_flops):
        monkeypatch.setattr(devices, measured.__name__, cache(measured.__wrapped__))
    engine = made(model)
    before = engine._held.most()
    assert engine.ceiling.peak_bandwidth > 0
    assert devices.this_machine.cache_info().currsize == 1
    assert held_after(engine) < before + 128 * MIB, "two times 256 MiB were copied"


@needs_kernel
def test_measuring_leaves_a_greater_peak_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_bandwidth", lambda kind: 1.0)
    monkeypatch.setattr(devices, "_gemm_flops", lambda dtype, kind: 1.0)
    ballast = torch.ones(128 * MIB // 4)
    del ballast
    peak = peak_resident_bytes([os.getpid()])
    devices.this_machine.__wrapped__("float32", "cpu")
    assert peak_resident_bytes([os.getpid()]) >= peak


def test_a_kernel_that_keeps_the_peak_is_put_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, text: str) -> int:
        raise PermissionError(self, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert HeldBytes(CPU).most() > 0


def test_of_a_gpu_the_allocators_peak_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Played: what torch had reserved before the engine is given back and forgotten."""
    asked = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: asked.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: asked.append(f"reset {device}"))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 7 * MIB)
    held = HeldBytes(torch.device("cuda:1"))
    assert asked == ["empty", "reset cuda:1"]
    assert held.most() == 7 * MIB
