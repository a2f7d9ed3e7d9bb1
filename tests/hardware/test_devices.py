from __future__ import annotations

from functools import cache, partial
from typing import Any

import pytest
import torch

from hyperscale.hardware import devices
from hyperscale.hardware.devices import PRESETS, Device, device_at, find_device, matching_preset, this_machine


def test_presets_are_the_data_sheets() -> None:
    assert list(PRESETS.values()) == [
        Device("h100", 989.5e12, 3.35e12, 80e9),
        Device("h200", 989.5e12, 4.8e12, 141e9),
        Device("a100", 312e12, 2.039e12, 80e9),
    ]
    assert find_device("h100", "bfloat16") == find_device("h100", "float16") == PRESETS["h100"]


@pytest.mark.parametrize(("name", "flops"), [("h100", 67e12), ("h200", 67e12), ("a100", 19.5e12)])
def test_float32_is_not_tf32(name: str, flops: float) -> None:
    assert not torch.backends.cuda.matmul.allow_tf32
    device = find_device(name, "float32")
    assert device.flops == flops
    assert (device.bandwidth, device.memory_bytes) == (PRESETS[name].bandwidth, PRESETS[name].memory_bytes)


@pytest.mark.parametrize("name", ["H100", "b200", ""])
def test_an_unknown_accelerator_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not known: use h100, h200, a100, or this"):
        find_device(name, "bfloat16")


@pytest.mark.parametrize("name", ["h100", "this"])
def test_an_unknown_dtype_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="dtype 'int4'"):
        find_device(name, "int4")


GPUS = {
    "NVIDIA H100 80GB HBM3": "h100",
    "NVIDIA H100 SXM5 80GB": "h100",
    "NVIDIA H200": "h200",
    "NVIDIA A100-SXM4-80GB": "a100",
    "A100-SXM-80GB": "a100",
    "NVIDIA A100-SXM4-40GB": None,
    "NVIDIA A100 80GB PCIe": None,
    "NVIDIA H100 PCIe": None,
    "NVIDIA H100 NVL": None,
    "NVIDIA H200 NVL": None,
    "NVIDIA GH200 480GB": None,
    "NVIDIA H100 80GB HBM3 MIG 1g.10gb": None,
    "NVIDIA GeForce RTX 4090": None,
}


@pytest.mark.parametrize("gpu", sorted(GPUS))
def test_gpus_are_known_by_name(gpu: str) -> None:
    assert matching_preset(gpu) == GPUS[gpu]


def test_this_machine_is_measured_once() -> None:
    device = find_device("this", "float32")
    assert this_machine("float32") is device
    assert 1e7 < device.flops < 1e16
    assert 1e7 < device.bandwidth < 1e14
    assert device.memory_bytes > 2**28


def test_what_a_measurement_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock by which a copy takes 2 s, a sum 3 s and a product as long as its type and size say."""

    def seconds(work: Any, _: torch.device) -> float:
        if not isinstance(work, partial):
            return 3.0
        if work.func is not torch.matmul:
            return 2.0
        a, b = work.args
        assert a.shape == b.shape == (len(a), len(a))
        # 4,096 FLOP/s in bfloat16; float32 takes 1/64 s up to 256, and longer than anybody waits from there.
        return 2 * len(a) ** 3 / 4096 if a.dtype == torch.bfloat16 else (1 / 64 if len(a) <= 256 else 1e3)

    monkeypatch.setattr(devices, "_seconds", seconds)
    for measured in (devices.this_machine, devices._gemm_flops, devices._bandwidth):
        monkeypatch.setattr(devices, measured.__name__, cache(measured.__wrapped__))
    copied = 2 * 2**28 / 2.0
    assert devices.this_machine("float32", "cpu").flops == 2 * 256**3 * 64
    # A CPU may widen; a GPU's tensor cores would not.
    assert devices.this_machine("bfloat16", "cpu").flops == 2 * 256**3 * 64
    assert devices._gemm_flops("bfloat16", torch.device("cpu")) == 4096
    assert devices.this_machine("bfloat16", "cpu").bandwidth == max(copied, 2**28 / 3.0)


def test_a_device_at_hand_is_a_preset_where_its_board_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    boards = {"cuda:0": "NVIDIA H200", "cuda:1": "NVIDIA L4"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: boards[str(device)])
    monkeypatch.setattr(devices, "this_machine", lambda dtype, device: Device(f"{device} in {dtype}", 1, 1, 1))
    assert device_at("cuda:0", "bfloat16") == PRESETS["h200"]
    assert device_at("cuda:0", "float32").flops == 67e12
    assert device_at("cuda:1", "float16").name == "cuda:1 in float16"
    assert device_at("cpu", "float32").name == "cpu in float32"


@pytest.mark.parametrize(("gpu", "preset"), [("NVIDIA H200", "h200"), ("NVIDIA L4", None), (None, None)])
def test_own_preset(monkeypatch: pytest.MonkeyPatch, gpu: str | None, preset: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: gpu)
    assert devices.own_preset() == preset
