"""What a shard needs of a cluster, and what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperscale.config import SweepConfig, make_config
from hyperscale.executors import cluster
from hyperscale.executors.cluster import Needs, needs

CPU_NODES = [{"CPU": 8.0, "memory": 1e9}, {"CPU": 4.0}, {"CPU": 0.0}]
GPU_NODES = [{"CPU": 16.0, "GPU": 8.0}, {"CPU": 2.0, "GPU": 4.0}, {"CPU": 64.0}]


def config(**fields: object) -> SweepConfig:
    defaults = {"model": "m", "tasks": ("t",), "grid": ((1, 8),), "output_dir": Path("out"), "executor": "ray"}
    return make_config(**{**defaults, **fields})


def test_without_gpus_a_shard_takes_a_node() -> None:
    assert needs(config(), CPU_NODES) == Needs(cpus=4.0, gpus=0.0, share=0.5, slots=3)
    assert needs(config(cpus_per_shard=1), CPU_NODES) == Needs(1.0, 0.0, 1 / 8, 12)
    assert needs(config(device="cpu"), GPU_NODES[:1]).gpus == 0


def test_a_shard_takes_the_gpus_of_its_engine() -> None:
    assert needs(config(), GPU_NODES) == Needs(1.0, 1.0, 1.0, 8 + 2)
    vllm = config(engine="vllm", tensor_parallel_size=2, pipeline_parallel_size=2)
    assert needs(vllm, GPU_NODES) == Needs(1.0, 4.0, 1.0, 2 + 1)
    assert needs(config(gpus_per_shard=0.5), GPU_NODES[:1]) == Needs(1.0, 0.5, 0.5, 16)


@pytest.mark.parametrize(
    ("fields", "nodes", "words"),
    [
        ({"gpus_per_shard": 16}, GPU_NODES, "a shard needs 16 GPUs and 1 cores of one node"),
        ({"cpus_per_shard": 32}, GPU_NODES[:2], "needs 1 GPUs and 32 cores"),
        ({"gpus_per_shard": 1.5}, GPU_NODES, "whole GPUs"),
        ({"device": "cuda"}, CPU_NODES, "no node of the cluster has a GPU"),
        ({"engine": "vllm", "tensor_parallel_size": 16}, GPU_NODES, "lower --gpus-per-shard, --tensor-parallel-size"),
    ],
)
def test_what_no_node_has_is_refused(fields: dict[str, object], nodes: list[dict[str, float]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        needs(config(**fields), nodes)


def test_ray_is_asked_for_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'hyperscale\[ray\]'"):
        cluster.require_ray()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"executor": "local", "ray_address": "auto"}, "are for --executor ray"),
        ({"executor": "local", "gpus_per_shard": 1}, "are for --executor ray"),
        ({"engine": "openai", "base_url": "http://localhost:1/v1"}, "--executor ray has nothing to spread"),
        ({"executor": "slurm"}, "--executor 'slurm': must be 'local' or 'ray'"),
        ({"shard_problems": 0}, "--shard-problems 0: must be at least 1"),
    ],
)
def test_flags_that_do_not_go_together(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**fields)
