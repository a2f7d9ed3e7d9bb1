"""What a shard needs of a cluster, and what is refused before anything is loaded."""

from __future__ import annotations

import os
from math import inf
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from hyperscale.config import SweepConfig, make_config
from hyperscale.executors import served
from hyperscale.executors.ray import cluster
from hyperscale.executors.ray.cluster import Needs, needs
from hyperscale.executors.ray.driver import _for_workers
from hyperscale.executors.ray.worker import build_in_process
from hyperscale.hardware import memory
from hyperscale.hardware.memory import lent_bytes
from hyperscale.plan.resolve import Plan

CPU_NODES = [{"CPU": 8.0, "memory": 1e9}, {"CPU": 4.0}, {"CPU": 0.0}]
GPU_NODES = [{"CPU": 16.0, "GPU": 8.0}, {"CPU": 2.0, "GPU": 4.0}, {"CPU": 64.0}]


def config(**fields: object) -> SweepConfig:
    defaults = {"model": "m", "tasks": ("t",), "grid": ((1, 8),), "output_dir": Path("out"), "executor": "ray"}
    return make_config(**{**defaults, **fields})


def test_without_gpus_a_shard_takes_a_node() -> None:
    assert needs(config(), CPU_NODES) == Needs(cpus=4.0, gpus=0.0, share=0.5, shards_at_once=3)
    assert needs(config(cpus_per_shard=1), CPU_NODES) == Needs(1.0, 0.0, 1 / 8, 12)
    assert needs(config(device="cpu"), GPU_NODES[:1]).gpus == 0


def test_a_shard_takes_the_gpus_of_its_engine() -> None:
    assert needs(config(), GPU_NODES) == Needs(1.0, 1.0, 1.0, 8 + 2)
    vllm = config(engine="vllm", tensor_parallel_size=2, pipeline_parallel_size=2)
    assert needs(vllm, GPU_NODES) == Needs(1.0, 4.0, 1.0, 2 + 1)
    assert needs(config(gpus_per_shard=0.5), GPU_NODES[:1]) == Needs(1.0, 0.5, 0.5, 16)


@pytest.mark.parametrize(("gpus", "at_once"), [(0.1, 80), (0.2, 40), (0.3, 24), (0.6, 8), (1, 8), (3, 2), (8, 1)])
def test_a_part_of_a_gpu_is_one_gpus(gpus: float, at_once: int) -> None:
    assert needs(config(gpus_per_shard=gpus), [{"CPU": 256.0, "GPU": 8.0}]).shards_at_once == at_once


def test_a_worker_computes_on_what_it_was_promised(tmp_path: Path) -> None:
    """Ray does not hide GPUs from a shard that was promised none."""
    for promised, device in [(0.0, "cpu"), (0.5, "cuda")]:
        assert _for_workers(Plan(config()), None, Needs(1, promised, 1, 1)).device == device
    vllm = config(engine="vllm")
    assert _for_workers(Plan(vllm), None, Needs(1, 1, 1, 1)).device == "auto"


def test_a_link_keeps_its_name_for_workers(tmp_path: Path) -> None:
    """A file of the hub's cache is a link to one whose name says nothing."""
    (tmp_path / "0123abcd").touch()
    (tmp_path / "model.gguf").symlink_to(tmp_path / "0123abcd")
    found = _for_workers(Plan(config(model=str(tmp_path / "model.gguf"))), None, Needs(1, 0, 1, 1))
    assert found.model == str(tmp_path / "model.gguf")
    assert found.output_dir == Path.cwd() / "out"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no.such.host.invalid:6379", "127.0.0.1:99999"]
)
def test_an_address_where_nothing_listens_is_told_at_once(address: str) -> None:
    with pytest.raises(
        ValueError, match=f"^--ray-address {address}: no Ray cluster answers there .*`ray start --head`"
    ):
        cluster.connect(address)


def test_a_token_that_lies_here_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    cluster._use_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    cluster._use_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster._use_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_vllm_is_lent_its_part_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "ServedExecutor", lambda plan: plan)
    lent = build_in_process(Plan(config(engine="vllm", gpu_memory_utilization=0.8)), Needs(1, 0.5, 0.5, 2))
    assert lent.config.gpu_memory_utilization == 0.4  # type: ignore[attr-defined]


def test_processes_that_share_a_device_get_their_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of it the others hold when they ask, while there is room."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=100_000, available=90_000))
    monkeypatch.setattr(memory, "_cgroup_limit", lambda: inf)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=7000)))
    assert lent_bytes(torch.device("cpu"), 0.25) == 100_000 * 0.25 * 0.5 - 7000
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=100_000, available=3000))
    assert lent_bytes(torch.device("cpu"), 0.25) == 3000 * 0.5


@pytest.mark.parametrize(
    ("fields", "nodes", "words"),
    [
        ({"gpus_per_shard": 16}, GPU_NODES, "a shard needs 16 GPUs and 1 cores of one node"),
        ({"cpus_per_shard": 32}, GPU_NODES[:2], "needs 1 GPUs and 32 cores"),
        ({"gpus_per_shard": 1.5}, GPU_NODES, "whole GPUs"),
        ({"engine": "vllm", "tensor_parallel_size": 4, "gpus_per_shard": 1}, GPU_NODES, "vLLM uses as many GPUs as"),
        ({"engine": "vllm", "gpus_per_shard": 2}, GPU_NODES, "vLLM uses as many GPUs as"),
        ({"device": "cuda"}, CPU_NODES, "no node of the cluster has a GPU"),
        ({"engine": "vllm", "tensor_parallel_size": 16}, GPU_NODES, "lower --gpus-per-shard, --tensor-parallel-size"),
    ],
)
def test_what_no_node_has_is_refused(fields: dict[str, object], nodes: list[dict[str, float]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        needs(config(**fields), nodes)


def test_lost_nodes_are_waited_for_a_while() -> None:
    outlook = cluster.Outlook(config(gpus_per_shard=1))
    lost, whole = CPU_NODES, GPU_NODES
    for now, nodes in [(0, whole), (900, lost), (1499, lost), (1510, whole), (1520, lost), (2100, lost)]:
        outlook.look(nodes, now)
    with pytest.raises(ValueError, match=r"^for 10 minutes now a shard needs 1 GPUs .* Finished samples are saved$"):
        outlook.look(lost, 2121)


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
