"""Which engines and executors go with which flags, and what to do where they don't."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperscale.config import SweepConfig


def check_engine(config: SweepConfig) -> None:
    """ValueError where an engine or executor cannot do what is asked, or a flag belongs to another one."""
    others = [name for name in config.backends if name != "vanilla"]
    if config.engine != "torch" and others:
        raise ValueError(
            f"--engine {config.engine} generates with the vanilla cache alone, not with {', '.join(others)}: "
            "its block table serves all KV heads of a layer, so no head can keep, give up or skip tokens of its own, "
            "and a mask would free nothing. Sweep these backends with --engine torch, in a folder of their own"
        )
    if config.engine != "torch" and config.batch_invariant:
        raise ValueError(f"--batch-invariant is for --engine torch; {config.engine} has its own ways to batch")
    if (config.engine == "openai") != (config.base_url is not None):
        raise ValueError("--engine openai and --base-url go together, such as --base-url http://localhost:8000/v1")
    if config.served_model_name is not None and config.engine != "openai":
        raise ValueError("--served-model-name is for --engine openai: the name that the server knows the model by")
    devices = config.tensor_parallel_size * config.pipeline_parallel_size
    if devices > 1 and config.engine != "vllm":
        raise ValueError(
            "--tensor-parallel-size and --pipeline-parallel-size are for --engine vllm; --engine torch uses one "
            "device, and more of them with --executor ray"
        )
    if config.executor == "local" and (
        config.ray_address or config.gpus_per_shard is not None or config.cpus_per_shard
    ):
        raise ValueError("--ray-address, --gpus-per-shard and --cpus-per-shard are for --executor ray")
    if config.executor == "ray" and config.engine == "openai":
        raise ValueError(
            "--executor ray has nothing to spread for --engine openai: the server computes. Raise "
            "--request-concurrency instead"
        )
