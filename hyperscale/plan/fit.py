"""Fit a shard's weights and KV cache to its devices, and count the threads that run in it together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hyperscale.config import SweepConfig
from hyperscale.hardware.devices import CPU, PRESETS, Device
from hyperscale.hardware.memory import CACHE_SHARE
from hyperscale.hardware.roofline import shape_of
from hyperscale.kvcache.shape import CacheShape
from hyperscale.model.spec import ModelSpec
from hyperscale.plan.runs import Run
from hyperscale.text import format_bytes, format_tokens

VLLM_CPU_BLOCK = 128
"""KV tokens of a vLLM block on a CPU, as in engines/vllm/engine.py."""


@dataclass(frozen=True)
class Fit:
    """Memory of the devices that a shard runs on, in bytes."""

    weights: int
    cache: int
    """KV cache of the running threads together."""
    threads: int
    """Threads that the cache holds, at most --max-batch; 0 where it does not hold one."""
    error: str | None = None


def devices_of(config: SweepConfig) -> int:
    """Return the GPUs that the engine uses together."""
    return config.tensor_parallel_size * config.pipeline_parallel_size


def gpus_of(config: SweepConfig) -> float:
    """Return the GPUs that a shard occupies."""
    return config.gpus_per_shard or float(devices_of(config))


def lent(config: SweepConfig, device: Device) -> Device:
    """Scale a device to the share of it that a shard has under --gpus-per-shard below 1."""
    share = min(gpus_of(config), 1.0)
    return replace(
        device, flops=share * device.flops, bandwidth=share * device.bandwidth, memory_bytes=share * device.memory_bytes
    )


def fit(config: SweepConfig, run: Run, spec: ModelSpec, dtype: str, device: Device) -> Fit:
    """Fit a run's shard to its devices; `error` says what does not fit, and what would hold it."""
    import torch

    from hyperscale.backends import memory

    weights, cap, count = held_weights(config, spec, dtype, device), max(run.length_caps), devices_of(config)
    if not splits_evenly(spec, config.tensor_parallel_size):
        return Fit(weights, 0, 0, _uneven(config, run, spec))
    shape = memory.cache_shape(spec, getattr(torch, dtype), run.policy)
    shape = replace(shape, page_bytes=shape.page_bytes * replicas(spec, config.tensor_parallel_size))
    reserve = memory.block_bounds_for(spec, run.policy, run.settings, run.cache_budget)
    least = reserve.least(cap) * shape.page_bytes
    given = config.memory_budget
    if given is not None:
        cache = given
    elif device.name == CPU and config.engine == "vllm":
        cache = vllm_cpu_bytes(config, shape, device)
    else:
        cache = cache_bytes(config, weights, device, count)
    if least <= cache and weights + cache <= count * device.memory_bytes:
        return Fit(weights, cache, memory.batch_threads(shape, cache, config.max_batch, cap, reserve))
    return Fit(weights, max(cache, 0), 0, _misfit(config, run, spec, dtype, max(least, given or 0), device))


def held_weights(config: SweepConfig, spec: ModelSpec, dtype: str, device: Device) -> int:
    """Return the bytes of the weights, on a CPU with torch's packed copy of every bf16 matrix that it multiplies by."""
    from hyperscale.model.layers import can_pack

    shape = shape_of(spec, dtype)
    packed = config.engine == "torch" and device.name == CPU and dtype == "bfloat16" and can_pack()
    # The packed matrices are those that a step reads; a separate embedding is only looked up.
    return shape.stored_bytes + (shape.weight_bytes if packed else 0)


def splits_evenly(spec: ModelSpec, parallel: int) -> bool:
    """Return whether vLLM can split a layer's heads evenly over `parallel` devices; KV heads may be replicated."""
    return spec.heads % parallel == 0 and (spec.kv_heads % parallel == 0 or parallel % spec.kv_heads == 0)


def replicas(spec: ModelSpec, parallel: int) -> int:
    """Return the devices that hold a replica of each KV head, of `parallel` that share a layer."""
    return max(1, parallel // spec.kv_heads)


def cache_bytes(config: SweepConfig, weights: int, device: Device, count: int) -> int:
    """Return the KV cache's default bytes on `count` devices; negative where the weights leave nothing."""
    if config.engine != "torch":
        return int(config.gpu_memory_utilization * count * device.memory_bytes) - weights
    share = CACHE_SHARE["cpu" if device.name == CPU else "cuda"]
    if gpus_of(config) < 1:  # The share of a device is taken first: `memory.lent_bytes`.
        return int(share * device.memory_bytes) - weights
    return int(share * (device.memory_bytes - weights))


def vllm_cpu_bytes(config: SweepConfig, shape: CacheShape, device: Device) -> int:
    """Return the KV cache's bytes for vLLM on a CPU: a share of the memory before weights, or all it can use."""
    blocks = (config.max_batch + 1) * -(-max(config.lengths) // VLLM_CPU_BLOCK) + 1
    return min(int(CACHE_SHARE["cpu"] * device.memory_bytes), blocks * VLLM_CPU_BLOCK * shape.token_bytes * shape.rows)


def _uneven(config: SweepConfig, run: Run, spec: ModelSpec) -> str:
    """Say why vLLM would not start with this --tensor-parallel-size, and which ones work."""
    able = ", ".join(str(parallel) for parallel in range(1, spec.heads + 1) if splits_evenly(spec, parallel))
    return (
        f"{run.name}: vLLM cannot split {spec.heads} heads and {spec.kv_heads} KV heads evenly over "
        f"--tensor-parallel-size {config.tensor_parallel_size}; use one of {able}"
    )


def _misfit(config: SweepConfig, run: Run, spec: ModelSpec, dtype: str, cache: int, device: Device) -> str:
    """Say what does not fit, and what would hold it."""
    count, cap = devices_of(config), format_tokens(max(run.length_caps))
    have = f"{count} x {device.name}, {format_bytes(count * device.memory_bytes)}"
    what = f"KV cache of one thread of {cap}" if config.memory_budget is None else "--memory-budget or one thread"
    weights = held_weights(config, spec, dtype, device)
    told = f"{run.name} does not fit {have}: weights {format_bytes(weights)}, {what} {format_bytes(cache)}; "
    plain = shape_of(spec, dtype).stored_bytes
    if run.backend == "vanilla" and device.name != CPU:
        served = config.model_copy(update={"engine": "vllm"})
        once = cache // replicas(spec, config.tensor_parallel_size)
        for parallel in range(count + 1, spec.heads + 1):
            held = once * replicas(spec, parallel)
            if splits_evenly(spec, parallel) and cache_bytes(served, plain, device, parallel) >= held:
                return f"{told}--engine vllm --tensor-parallel-size {parallel} would hold it"
    larger = [other.name for other in PRESETS.values() if cache_bytes(config, plain, other, count) >= cache]
    if larger and config.memory_budget is None:
        return f"{told}--accelerator {' or '.join(larger)} would hold it"
    return f"{told}lower --lengths" + ("" if config.memory_budget is None else " or --memory-budget")
