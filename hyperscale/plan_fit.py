"""Whether a shard's weights and KV cache fit its devices, and how many threads run in it together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hyperscale.analysis.devices import CPU, PRESETS, Device
from hyperscale.analysis.roofline import shape_of
from hyperscale.backends import backend_class
from hyperscale.config import SweepConfig
from hyperscale.grid import Run
from hyperscale.model.spec import ModelSpec
from hyperscale.sizes import format_bytes, format_tokens

TORCH_SHARE = {"cpu": 0.5, "gpu": 0.8}
"""Part of what the weights leave free that the torch engine gives to the KV cache, as in engines/memory.py."""


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

    from hyperscale.engines import memory

    weights, cap, count = shape_of(spec, dtype).stored_bytes, max(run.length_caps), devices_of(config)
    shape = memory.cache_shape(spec, getattr(torch, dtype), backend_class(run.backend))
    reserve = memory.reserve_for(spec, run.backend, dict(run.options), run.cache_budget)
    least = reserve.least(cap) * shape.page_bytes
    given = config.memory_budget
    pool = pool_bytes(config, weights, device, count) if given is None else given
    if least <= pool and (given is None or weights + pool <= count * device.memory_bytes):
        return Fit(weights, pool, memory.batch_threads(shape, pool, config.max_batch, cap, reserve))
    return Fit(weights, max(pool, 0), 0, _misfit(config, run, spec, weights, max(least, given or 0), device))


def pool_bytes(config: SweepConfig, weights: int, device: Device, count: int) -> int:
    """What an engine gives to its KV cache on `count` devices, unless told otherwise; below 0 where nothing is left."""
    if config.engine != "torch":
        return int(config.gpu_memory_utilization * count * device.memory_bytes) - weights
    free = device.memory_bytes - weights
    return int(TORCH_SHARE["cpu" if device.name == CPU else "gpu"] * free)


def _misfit(config: SweepConfig, run: Run, spec: ModelSpec, weights: int, cache: int, device: Device) -> str:
    """What does not fit, and what would."""
    count, cap = devices_of(config), format_tokens(max(run.length_caps))
    have = f"{count} x {device.name}, {format_bytes(count * device.memory_bytes)}"
    what = f"KV cache of one thread of {cap}" if config.memory_budget is None else "--memory-budget or one thread"
    told = f"{run.name} does not fit {have}: weights {format_bytes(weights)}, {what} {format_bytes(cache)}; "
    if run.backend == "vanilla":
        served = config.model_copy(update={"engine": "vllm"})
        for parallel in range(count + 1, spec.heads + 1):
            # Heads are dealt out evenly.
            if spec.heads % parallel == 0 and pool_bytes(served, weights, device, parallel) >= cache:
                return f"{told}--engine vllm --tensor-parallel-size {parallel} would hold it"
    larger = [other.name for other in PRESETS.values() if pool_bytes(config, weights, other, count) >= cache]
    if larger and config.memory_budget is None:
        return f"{told}--accelerator {' or '.join(larger)} would hold it"
    return f"{told}lower --lengths" + ("" if config.memory_budget is None else " or --memory-budget")
