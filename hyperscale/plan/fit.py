"""Whether a shard's weights and KV cache fit its devices, and how many threads run in it together."""

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
"""KV tokens of a block of vLLM's on a CPU, as in engines/vllm_engine.py."""


@dataclass(frozen=True)
class Fit:
    """Memory of the devices that a shard runs on, in bytes."""

    weights: int
    pool: int
    """KV cache of the running threads together."""
    threads: int
    """Threads that the pool holds, at most --max-batch; 0 where it does not hold one."""
    error: str | None = None


def devices_of(config: SweepConfig) -> int:
    """GPUs that the engine uses together."""
    return config.tensor_parallel_size * config.pipeline_parallel_size


def gpus_of(config: SweepConfig) -> float:
    """GPUs that a shard occupies."""
    return config.gpus_per_shard or float(devices_of(config))


def lent(config: SweepConfig, device: Device) -> Device:
    """What a shard has of a device that --gpus-per-shard below 1 shares."""
    share = min(gpus_of(config), 1.0)
    return replace(
        device, flops=share * device.flops, bandwidth=share * device.bandwidth, memory_bytes=share * device.memory_bytes
    )


def fit(config: SweepConfig, run: Run, spec: ModelSpec, dtype: str, device: Device) -> Fit:
    """Memory of a run's shard; its `error` says what does not fit, and what would hold it."""
    import torch

    from hyperscale.backends import memory

    weights, cap, count = held_weights(config, spec, dtype, device), max(run.length_caps), devices_of(config)
    if not deals(spec, config.tensor_parallel_size):
        return Fit(weights, 0, 0, _uneven(config, run, spec))
    shape = memory.cache_shape(spec, getattr(torch, dtype), run.policy)
    shape = replace(shape, page_bytes=shape.page_bytes * copies(spec, config.tensor_parallel_size))
    reserve = memory.block_bounds_for(spec, run.policy, run.settings, run.cache_budget)
    least = reserve.least(cap) * shape.page_bytes
    given = config.memory_budget
    if given is not None:
        pool = given
    elif device.name == CPU and config.engine == "vllm":
        pool = vllm_cpu_bytes(config, shape, device)
    else:
        pool = pool_bytes(config, weights, device, count)
    if least <= pool and weights + pool <= count * device.memory_bytes:
        return Fit(weights, pool, memory.batch_threads(shape, pool, config.max_batch, cap, reserve))
    return Fit(weights, max(pool, 0), 0, _misfit(config, run, spec, dtype, max(least, given or 0), device))


def held_weights(config: SweepConfig, spec: ModelSpec, dtype: str, device: Device) -> int:
    """Bytes of the weights; torch on a CPU keeps a packed copy of every bf16 matrix that it multiplies by."""
    from hyperscale.model.linear import can_pack

    shape = shape_of(spec, dtype)
    packed = config.engine == "torch" and device.name == CPU and dtype == "bfloat16" and can_pack()
    # A step reads these very matrices: of an embedding of its own it looks a row up.
    return shape.stored_bytes + (shape.weight_bytes if packed else 0)


def deals(spec: ModelSpec, parallel: int) -> bool:
    """Whether vLLM can deal a layer's heads out to so many devices: all alike, a KV head to several if need be."""
    return spec.heads % parallel == 0 and (spec.kv_heads % parallel == 0 or parallel % spec.kv_heads == 0)


def copies(spec: ModelSpec, parallel: int) -> int:
    """Devices that each KV head lies on, of so many that share a layer."""
    return max(1, parallel // spec.kv_heads)


def pool_bytes(config: SweepConfig, weights: int, device: Device, count: int) -> int:
    """What an engine gives to its KV cache on `count` devices, unless told otherwise; below 0 where nothing is left."""
    if config.engine != "torch":
        return int(config.gpu_memory_utilization * count * device.memory_bytes) - weights
    share = CACHE_SHARE["cpu" if device.name == CPU else "cuda"]
    if gpus_of(config) < 1:  # Of a device that is shared the share is taken first: `memory.lent_bytes`.
        return int(share * device.memory_bytes) - weights
    return int(share * (device.memory_bytes - weights))


def vllm_cpu_bytes(config: SweepConfig, shape: CacheShape, device: Device) -> int:
    """What our vLLM engine gives to the KV cache on a CPU: a part of the memory before weights, or all it can use."""
    blocks = (config.max_batch + 1) * -(-max(config.lengths) // VLLM_CPU_BLOCK) + 1
    return min(int(CACHE_SHARE["cpu"] * device.memory_bytes), blocks * VLLM_CPU_BLOCK * shape.token_bytes * shape.rows)


def _uneven(config: SweepConfig, run: Run, spec: ModelSpec) -> str:
    """Why vLLM would not start on so many devices."""
    able = ", ".join(str(parallel) for parallel in range(1, spec.heads + 1) if deals(spec, parallel))
    return (
        f"{run.name}: vLLM cannot deal {spec.heads} heads and {spec.kv_heads} KV heads out to --tensor-parallel-size "
        f"{config.tensor_parallel_size}; it can to {able}"
    )


def _misfit(config: SweepConfig, run: Run, spec: ModelSpec, dtype: str, cache: int, device: Device) -> str:
    """What does not fit, and what would."""
    count, cap = devices_of(config), format_tokens(max(run.length_caps))
    have = f"{count} x {device.name}, {format_bytes(count * device.memory_bytes)}"
    what = f"KV cache of one thread of {cap}" if config.memory_budget is None else "--memory-budget or one thread"
    weights = held_weights(config, spec, dtype, device)
    told = f"{run.name} does not fit {have}: weights {format_bytes(weights)}, {what} {format_bytes(cache)}; "
    plain = shape_of(spec, dtype).stored_bytes
    if run.backend == "vanilla" and device.name != CPU:
        served = config.model_copy(update={"engine": "vllm"})
        once = cache // copies(spec, config.tensor_parallel_size)
        for parallel in range(count + 1, spec.heads + 1):
            held = once * copies(spec, parallel)
            if deals(spec, parallel) and pool_bytes(served, plain, device, parallel) >= held:
                return f"{told}--engine vllm --tensor-parallel-size {parallel} would hold it"
    larger = [other.name for other in PRESETS.values() if pool_bytes(config, plain, other, count) >= cache]
    if larger and config.memory_budget is None:
        return f"{told}--accelerator {' or '.join(larger)} would hold it"
    return f"{told}lower --lengths" + ("" if config.memory_budget is None else " or --memory-budget")
