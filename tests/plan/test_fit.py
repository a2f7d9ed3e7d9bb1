from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from hyperscale.backends import backend_class, memory
from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.vllm.engine import VllmEngine
from hyperscale.hardware import memory as device_memory
from hyperscale.hardware.devices import PRESETS, Device
from hyperscale.model.decoder import Decoder
from hyperscale.model.spec import GateSpec, spec_from_config
from hyperscale.plan.fit import fit, gpus_of, lent
from hyperscale.plan.runs import Run, make_run

GB = 10**9
# Shapes of Qwen2.5-32B.
SPEC = replace(
    spec_from_config(
        LlamaConfig(
            hidden_size=5120, head_dim=128, num_hidden_layers=64, num_attention_heads=40, num_key_value_heads=8,
            intermediate_size=27648, vocab_size=152064, max_position_embeddings=131072, tie_word_embeddings=False,
        )
    ),
    gates=GateSpec("borrowed", window=256, ratio=8),
)  # fmt: skip
WEIGHTS = 2 * (64 * 5120 * (2 * 5120 + 2 * 1024 + 3 * 27648) + 2 * 5120 * 152064)
TOKEN = 64 * 8 * 128 * 2 * 2
H100, H200 = PRESETS["h100"], PRESETS["h200"]


def config_of(**fields: Any) -> SweepConfig:
    return make_config(
        **{"model": "m", "tasks": ("gsm8k",), "grid": ((1, 64),), "output_dir": Path("out"), "max_batch": 1024} | fields
    )


def run_of(cap: int, backend: str = "vanilla", budget: int | None = None) -> Run:
    return make_run(backend, None if budget else 1.0, budget, (cap,), ((1, cap),))


def test_threads_of_a_vanilla_cache_by_hand() -> None:
    found = fit(config_of(), run_of(8192), SPEC, "bfloat16", H200)
    assert found.error is None
    assert found.weights == WEIGHTS
    assert found.cache == int(0.8 * (141 * GB - WEIGHTS))
    assert found.threads == found.cache // (8192 * TOKEN)
    served = fit(config_of(engine="vllm", tensor_parallel_size=2), run_of(8192), SPEC, "bfloat16", H100)
    assert served.cache == int(0.9 * 160 * GB) - WEIGHTS
    assert served.threads == served.cache // (8192 * TOKEN)
    assert fit(config_of(max_batch=3), run_of(8192), SPEC, "bfloat16", H200).threads == 3
    cpu = fit(config_of(), run_of(8192), SPEC, "float32", Device("CPU", 1, 1, 200 * GB))
    assert cpu.cache == int(0.5 * (200 * GB - 2 * WEIGHTS))


@pytest.mark.parametrize("backend", ["vanilla", "quest", "tova", "dms"])
@pytest.mark.parametrize("cap", [8192, 32768, 65536, 131072])
@pytest.mark.parametrize("device", [H100, H200])
def test_what_fits_is_what_the_engine_would_take(backend: str, cap: int, device: Device) -> None:
    run = run_of(cap, backend, cap // 4 if backend in ("quest", "tova") else None)
    found = fit(config_of(), run, SPEC, "bfloat16", device)
    shape = memory.cache_shape(SPEC, torch.bfloat16, backend_class(backend))
    reserve = memory.block_bounds_for(SPEC, run.policy, run.settings, run.cache_budget)
    try:
        memory.pool_blocks(shape, found.cache, 1024, cap, reserve)
    except ValueError:
        assert found.threads == 0
        assert found.error is not None
        assert found.error.startswith(f"{run.name} does not fit 1 x {device.name}")
    else:
        assert found.error is None
        assert found.threads > 0


def test_of_a_model_too_large_it_is_said_what_would_hold_it() -> None:
    error = fit(config_of(), run_of(131072), SPEC, "bfloat16", H100).error
    assert error is not None
    # 0.9 of the devices must hold the weights and one thread; 40 heads and 8 KV heads go in 2, 4, 8, 40 parts.
    enough = [count for count in (2, 4, 8) if 0.9 * 80 * GB * count - WEIGHTS > 131072 * TOKEN]
    assert f"--tensor-parallel-size {min(enough)} would hold it" in error
    assert "weights 61 GiB" in error
    assert "one thread of 128k 32" in error
    error = fit(config_of(), run_of(32768, "dms"), SPEC, "bfloat16", H100).error
    assert error is not None
    assert "--accelerator h200 would hold it" in error
    error = fit(config_of(), run_of(131072, "dms"), SPEC, "float32", H200).error
    assert error is not None
    assert error.endswith("lower --lengths")


def test_heads_that_vllm_cannot_deal_out_are_told() -> None:
    def valid(parallel: int) -> bool:
        """As vLLM's models assert it (vllm/model_executor/models/llama.py, LlamaAttention)."""
        if SPEC.heads % parallel:
            return False
        return SPEC.kv_heads % parallel == 0 if SPEC.kv_heads >= parallel else parallel % SPEC.kv_heads == 0

    assert [parallel for parallel in range(1, 41) if valid(parallel)] == [1, 2, 4, 8, 40]
    for parallel in range(1, 41):
        config = config_of(engine="vllm", tensor_parallel_size=parallel)
        error = fit(config, run_of(8192), SPEC, "bfloat16", H200).error
        assert (error is None) == valid(parallel), parallel
        if error is not None:
            assert error.endswith(f"--tensor-parallel-size {parallel}; use one of 1, 2, 4, 8, 40")


def test_more_devices_than_kv_heads_store_each_several_times() -> None:
    """Two KV heads over eight devices: each device stores one head, so that every token lies there four times."""
    spec = replace(SPEC, kv_heads=2)
    eight = fit(config_of(engine="vllm", tensor_parallel_size=8), run_of(8192), spec, "bfloat16", H100)
    one_head = 64 * 128 * 2 * 2  # bytes of a token in all layers
    assert eight.threads == eight.cache // (8 * one_head * 8192) < 1024
    two = fit(config_of(engine="vllm", tensor_parallel_size=2), run_of(8192), spec, "bfloat16", H200)
    assert two.threads == two.cache // (2 * one_head * 8192) < 1024
    # What would hold a thread is told by what it takes there.
    cap, weights = 2**21, two.weights
    error = fit(config_of(), run_of(cap), spec, "bfloat16", H100).error
    assert error is not None
    needs = {count: max(2, count) * one_head * cap for count in (2, 4, 8, 10, 20, 40)}
    enough = [count for count, held in needs.items() if 0.9 * 80 * GB * count - weights > held]
    assert f"--tensor-parallel-size {min(enough)} would hold it" in error
    error = fit(config_of(), run_of(2 * cap), spec, "bfloat16", H100).error
    assert error is not None
    assert "tensor-parallel" not in error, "every device would have to hold a head of 137 GB"


@pytest.mark.parametrize("tied", [False, True])
def test_a_cpu_holds_its_bf16_matrices_twice(monkeypatch: pytest.MonkeyPatch, tied: bool) -> None:
    """By the decoder's own matrices, of which `pack` leaves an embedding that is only looked up."""
    spec = replace(SPEC, layers=1, tied=tied, gates=None)
    with torch.device("meta"):
        decoder = Decoder(spec)
    matrices = [weight for weight in decoder.parameters() if weight.dim() == 2]
    once = 2 * sum(weight.numel() for weight in matrices)
    packed = once if decoder.unembed is None else once - 2 * decoder.embed.numel()
    cpu = Device("CPU", 1, 1, 200 * GB)
    for able in (True, False):
        monkeypatch.setattr("hyperscale.model.layers.can_pack", lambda able=able: able)
        found = fit(config_of(), run_of(64), spec, "bfloat16", cpu)
        assert found.weights == once + (packed if able else 0)
        assert found.cache == int(0.5 * (200 * GB - found.weights))
        assert fit(config_of(), run_of(64), spec, "bfloat16", H100).weights == once
        assert fit(config_of(), run_of(64), spec, "float32", cpu).weights == 2 * once
        assert fit(config_of(engine="vllm"), run_of(64), spec, "bfloat16", cpu).weights == once


@pytest.mark.parametrize(("batch", "memory_bytes"), [(2, 200 * GB), (1024, 200 * GB), (1024, 100 * GB)])
def test_vllm_on_a_cpu_is_given_what_its_engine_asks_for(
    monkeypatch: pytest.MonkeyPatch, batch: int, memory_bytes: int
) -> None:
    config = config_of(engine="vllm", device="cpu", max_batch=batch, grid=((1, 8192),), dtype="bfloat16")
    engine = object.__new__(VllmEngine)
    vars(engine).update(_config=config, _spec=SPEC, _cpu=True, _dtype="bfloat16")
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    monkeypatch.setattr(device_memory, "free_bytes", lambda device: int(0.5 * memory_bytes))
    found = fit(config, run_of(8192), SPEC, "bfloat16", Device("CPU", 1, 1, memory_bytes))
    assert found.cache == engine._cache_bytes()
    # It is told how much before it has loaded the weights, and both must fit.
    assert (found.error is None) == (WEIGHTS + found.cache <= memory_bytes) == (memory_bytes == 200 * GB)
    assert found.threads == (0 if found.error else min(batch, found.cache // (8192 * TOKEN)))


def test_a_memory_budget_is_taken_at_its_word() -> None:
    assert fit(config_of(memory_budget=50 * GB), run_of(8192), SPEC, "bfloat16", H200).cache == 50 * GB
    error = fit(config_of(memory_budget=100 * GB), run_of(8192, "dms"), SPEC, "bfloat16", H200).error
    assert error is not None
    assert error.endswith("lower --lengths or --memory-budget")
    assert f"{100 * GB / 2**30:.3g} GiB" in error


def test_gpus_of_a_shard() -> None:
    assert gpus_of(config_of()) == 1
    assert gpus_of(config_of(engine="vllm", tensor_parallel_size=4, pipeline_parallel_size=2)) == 8
    shared = config_of(executor="ray", gpus_per_shard=0.25)
    assert gpus_of(shared) == 0.25
    assert lent(shared, H100) == Device("h100", 989.5e12 / 4, 3.35e12 / 4, 20e9)
    assert lent(config_of(executor="ray", gpus_per_shard=2), H100) == H100
    weights = 2 * (5120 * (2 * 5120 + 2 * 1024 + 3 * 27648) + 2 * 5120 * 152064)
    found = fit(shared, run_of(64), replace(SPEC, layers=1), "bfloat16", lent(shared, H100))
    assert found.cache == int(0.8 * 20e9) - weights


def test_a_shared_gpu_lends_what_the_engine_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """`engines/memory.py` itself, beside a GPU that is played."""
    shared, spec = config_of(executor="ray", gpus_per_shard=0.25), replace(SPEC, layers=1)
    found = fit(shared, run_of(64), spec, "bfloat16", lent(shared, H100))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: found.weights)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * GB - found.weights, 80 * GB))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert device_memory.lent_bytes(torch.device("cuda"), 0.25) == found.cache
