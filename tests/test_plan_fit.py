from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from hyperscale.analysis.devices import PRESETS, Device
from hyperscale.backends import backend_class
from hyperscale.config import SweepConfig, make_config
from hyperscale.engines import memory
from hyperscale.grid import Run
from hyperscale.model.gate_spec import GateSpec
from hyperscale.model.spec import spec_from_config
from hyperscale.plan_fit import TORCH_SHARE, fit, gpus_of, lent

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
    return Run(backend, None if budget else 1.0, budget, (cap,), ((1, cap),))


def test_shares_are_the_engines_own() -> None:
    assert TORCH_SHARE["cpu"] == memory._SHARE_OF_FREE["cpu"]
    assert TORCH_SHARE["gpu"] == memory._SHARE_OF_FREE["cuda"]


def test_threads_of_a_vanilla_cache_by_hand() -> None:
    found = fit(config_of(), run_of(8192), SPEC, "bfloat16", H200)
    assert found.error is None
    assert found.weights == WEIGHTS
    assert found.pool == int(0.8 * (141 * GB - WEIGHTS))
    assert found.threads == found.pool // (8192 * TOKEN)
    served = fit(config_of(engine="vllm", tensor_parallel_size=2), run_of(8192), SPEC, "bfloat16", H100)
    assert served.pool == int(0.9 * 160 * GB) - WEIGHTS
    assert served.threads == served.pool // (8192 * TOKEN)
    assert fit(config_of(max_batch=3), run_of(8192), SPEC, "bfloat16", H200).threads == 3
    cpu = fit(config_of(), run_of(8192), SPEC, "bfloat16", Device("CPU", 1, 1, 200 * GB))
    assert cpu.pool == int(0.5 * (200 * GB - WEIGHTS))


@pytest.mark.parametrize("backend", ["vanilla", "quest", "tova", "dms"])
@pytest.mark.parametrize("cap", [8192, 32768, 65536, 131072])
@pytest.mark.parametrize("device", [H100, H200])
def test_what_fits_is_what_the_engine_would_take(backend: str, cap: int, device: Device) -> None:
    run = run_of(cap, backend, cap // 4 if backend in ("quest", "tova") else None)
    found = fit(config_of(), run, SPEC, "bfloat16", device)
    shape = memory.cache_shape(SPEC, torch.bfloat16, backend_class(backend))
    reserve = memory.reserve_for(SPEC, backend, {}, run.cache_budget)
    try:
        memory.pool_pages(shape, found.pool, 1024, cap, reserve)
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
    # 0.9 of the devices must hold the weights and one thread; 40 heads go in 2, 4, 5, 8, ... parts.
    enough = [count for count in (2, 4, 5, 8) if 0.9 * 80 * GB * count - WEIGHTS > 131072 * TOKEN]
    assert f"--tensor-parallel-size {min(enough)} would hold it" in error
    assert "weights 61 GiB" in error
    assert "one thread of 128k 32" in error
    error = fit(config_of(), run_of(32768, "dms"), SPEC, "bfloat16", H100).error
    assert error is not None
    assert "--accelerator h200 would hold it" in error
    error = fit(config_of(), run_of(131072, "dms"), SPEC, "float32", H200).error
    assert error is not None
    assert error.endswith("lower --lengths")


def test_a_memory_budget_is_taken_at_its_word() -> None:
    assert fit(config_of(memory_budget=50 * GB), run_of(8192), SPEC, "bfloat16", H200).pool == 50 * GB
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
    assert math.isclose(fit(shared, run_of(64), replace(SPEC, layers=1), "bfloat16", lent(shared, H100)).pool, 0.8 * (
        20e9 - 2 * (5120 * (2 * 5120 + 2 * 1024 + 3 * 27648) + 2 * 5120 * 152064)), rel_tol=1e-9)  # fmt: skip
