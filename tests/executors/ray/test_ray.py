"""Sweeps on a real Ray cluster: dead workers, nodes and drivers lose nothing and double nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
from ray._private.internal_api import node_stats

from hyperscale.executors.base import ModelIdentity
from hyperscale.executors.ray import driver as executor
from tests.executors.ray.fake_ray import FakeRay, run_fake_ray
from tests.fakes import fake_config, run_fake, write_task
from tests.folders import assert_same_results, keys, table
from tests.sums import sweep_tiny, write_sums
from tests.tiny_models import write_tiny_model

SLOW = pytest.mark.slow
pytestmark = pytest.mark.usefixtures("cluster")

PROBLEMS, THREADS = 9, 4
SIGNALS = (signal.SIGKILL, signal.SIGINT)
TIMES = ["step_micros", "step_threads", "prefill_seconds", "batch_threads", "device_bytes"]
TIMES += ["peak_flops", "peak_bandwidth"]
"""What a machine took, which no two runs share."""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path, problems=PROBLEMS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "POLL_SECONDS", 0.2)


def config_of(folder: Path, task: Path, **fields: Any) -> Any:
    return fake_config(folder, task, executor="ray", shard_problems=2, cpus_per_shard=1, **fields)


def expected(tmp_path: Path, task: Path) -> Path:
    """The folder of the same sweep by the local executor."""
    run_fake(fake_config(tmp_path / "expected", task))
    return tmp_path / "expected"


def nothing_waits(folder: Path) -> bool:
    return not list(folder.glob("incoming/**/*.parquet"))


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def test_results_are_those_of_the_local_executor(tmp_path: Path, task: Path) -> None:
    report = run_fake_ray(config_of(tmp_path / "out", task))
    assert report.generated_samples == PROBLEMS * THREADS
    assert_same_results(tmp_path / "out", expected(tmp_path, task))
    assert nothing_waits(tmp_path / "out")
    assert sorted(set(Counter(keys(tmp_path / "log")).values())) == [1]
    assert run_fake_ray(config_of(tmp_path / "out", task)).generated_samples == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sessions"][0]["hardware"]["shards_at_once"] == 3


@SLOW
def test_prompts_that_fill_a_cap_are_recorded(tmp_path: Path) -> None:
    long = write_task(tmp_path, problems=3, words=20)
    run_fake_ray(config_of(tmp_path / "out", long))
    assert_same_results(tmp_path / "out", expected(tmp_path, long))
    assert 0 in set(table(tmp_path / "out", "samples")["generated_tokens"])


def test_a_grid_is_extended_and_a_run_goes_on_elsewhere(tmp_path: Path, task: Path) -> None:
    run_fake(fake_config(tmp_path / "out", task, grid=((2, 32),)))
    report = run_fake_ray(config_of(tmp_path / "out", task))
    assert report.generated_samples == PROBLEMS * (THREADS - 2)
    assert_same_results(tmp_path / "out", expected(tmp_path, task))


def test_a_worker_that_dies_is_replaced(tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly").touch()
    run_fake_ray(config_of(tmp_path / "out", task))
    assert not (tmp_path / "deadly").exists()
    assert_same_results(tmp_path / "out", expected(tmp_path, task))
    assert nothing_waits(tmp_path / "out")


@pytest.mark.slow
def test_a_node_that_dies_within_a_shard_is_replaced(
    tmp_path: Path, task: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard goes on elsewhere, from what it had stored."""
    monkeypatch.setattr(executor, "FLUSH_SECONDS", 0.0)
    node = cluster.add_node(num_cpus=1, object_store_memory=128 << 20)
    cluster.wait_for_nodes()
    (tmp_path / "doomed").write_text(node.node_id)
    theirs: set[tuple[str, int]] = set()

    def kill() -> None:
        # A process starts on the new node first, and imports what is slow.
        until(lambda: set(made(tmp_path).get(node.node_id, ())) & waiting(tmp_path / "out"), 150)
        theirs.update(made(tmp_path)[node.node_id])
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    run_fake_ray(config_of(tmp_path / "out", task))
    killer.join()
    times = Counter(thread for threads in made(tmp_path).values() for thread in threads)
    assert theirs
    assert {times[thread] for thread in theirs} == {1}, "what was stored was made again"
    others = {problem for of, threads in made(tmp_path).items() if of != node.node_id for problem, _ in threads}
    assert others >= {problem for problem, _ in theirs}, "the node died between two shards"
    assert_same_results(tmp_path / "out", expected(tmp_path, task))
    assert nothing_waits(tmp_path / "out")
    hardware = json.loads((tmp_path / "out" / "manifest.json").read_text())["sessions"][0]["hardware"]
    assert sorted(node["CPU"] for node in hardware["nodes"]) == [1.0, 3.0]
    assert hardware["shards_at_once"] == 4


def made(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Threads by the node that made them."""
    found: dict[str, list[tuple[str, int]]] = {}
    lines = (folder / "nodes").read_text().splitlines() if (folder / "nodes").exists() else []
    for node, problem, thread in map(json.loads, lines):
        found.setdefault(node, []).append((problem, thread))
    return found


def waiting(folder: Path) -> set[tuple[str, int]]:
    """Threads that workers stored, whether the driver took them in or not."""
    found: set[tuple[str, int]] = set()
    with suppress(FileNotFoundError):  # Something is being taken in just now: whoever waits looks again.
        for part in folder.glob("**/*.parquet"):
            if {"samples", "incoming"} & set(part.parts):
                rows = pd.read_parquet(part, columns=["problem_id", "thread"])
                found.update(rows.itertuples(index=False, name=None))
    return found


@pytest.mark.slow
def test_drivers_that_die_or_are_interrupted_lose_nothing(tmp_path: Path, task: Path, cluster: Any) -> None:
    (tmp_path / "slow").write_text("0.1")
    config = config_of(tmp_path / "out", task, ray_address=cluster.address)
    settings = tmp_path / "config.json"
    settings.write_text(config.model_dump_json())
    stored: list[set[tuple[str, int]]] = [set()]
    for number in SIGNALS:
        driver = subprocess.Popen([sys.executable, "-m", "tests.executors.ray.fake_ray", str(settings)])
        until(lambda: len(waiting(tmp_path / "out") - stored[-1]) >= 6, 60)
        driver.send_signal(number)
        assert driver.wait(timeout=60) == (130 if number == signal.SIGINT else -number)
        stored.append(waiting(tmp_path / "out"))
        (tmp_path / "log").rename(tmp_path / f"log-{number}")
        (tmp_path / "log").touch()
    assert 0 < len(table(tmp_path / "out", "samples")) < PROBLEMS * THREADS
    for earlier, number in zip(stored, SIGNALS, strict=False):
        assert not earlier & threads_of(tmp_path / f"log-{number}")
    run_fake_ray(config)
    assert not stored[-1] & threads_of(tmp_path / "log")
    assert_same_results(tmp_path / "out", expected(tmp_path, task))
    assert nothing_waits(tmp_path / "out")


def threads_of(log: Path) -> set[tuple[str, int]]:
    return {(problem, thread) for _, problem, thread in keys(log)}


@pytest.mark.slow
def test_a_shard_that_ends_every_worker_is_given_up(
    tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "RETRIES", 0)
    (tmp_path / "hopeless").touch()
    with pytest.raises(ValueError, match=r"the shard of vanilla with p\d, .* ended its worker 2 times"):
        run_fake_ray(config_of(tmp_path / "out", task))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("value", "^the model's logits are not finite$"),
        pytest.param("permission", r"^PermissionError: \[Errno 13\] Permission denied: '/data'$", marks=SLOW),
        pytest.param("package", "^ModuleNotFoundError: No module named 'numba'$", marks=SLOW),
    ],
)
def test_a_mistake_that_a_worker_finds_is_one_line(tmp_path: Path, task: Path, mistake: str, words: str) -> None:
    (tmp_path / "broken").write_text(mistake)
    with pytest.raises(ValueError, match=words):
        run_fake_ray(config_of(tmp_path / "out", task))


def test_a_node_with_other_weights_is_refused(tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(self: FakeRay) -> ModelIdentity:
        return {"resolved_revision": None, "weights_sha": "mine", "answer_prefix": ""}

    monkeypatch.setattr(FakeRay, "identity", identity)
    with pytest.raises(ValueError, match='weights_sha: "mine" -> "fake"'):
        run_fake_ray(config_of(tmp_path / "out", task))


def test_samples_do_not_go_through_ray(tmp_path: Path, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tasks are given, what they give back, and what object stores hold stay small, whatever the samples weigh."""
    given: list[int] = []
    got: list[int] = []
    get, remote = ray.get, ray.remote

    class Weighed:
        def __init__(self, task: Any) -> None:
            self._task = task

        def remote(self, *arguments: Any) -> Any:
            given.append(len(ray.cloudpickle.dumps(arguments)))
            return self._task.remote(*arguments)

    def weighed_get(ref: Any) -> Any:
        result = get(ref)
        got.append(len(ray.cloudpickle.dumps(result)))
        return result

    monkeypatch.setattr(ray, "remote", lambda **needs: lambda function: Weighed(remote(**needs)(function)))
    monkeypatch.setattr(ray, "get", weighed_get)
    (tmp_path / "heavy").write_text("200_000")
    before = bytes_ever_stored()
    run_fake_ray(config_of(tmp_path / "out", task))
    assert table(tmp_path / "out", "samples")["text"].str.len().sum() > PROBLEMS * THREADS * 200_000
    assert min(len(given), len(got)) >= PROBLEMS // 2
    assert max(given) < 16_000
    assert max(got) < 1000
    assert bytes_ever_stored() - before < 100_000
    held = ray.put(os.urandom(500_000))
    assert bytes_ever_stored() - before > 500_000, "it would be seen"
    del held


def bytes_ever_stored() -> int:
    """Bytes of all objects that any node's object store was ever given."""
    stores = (
        node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False).store_stats
        for node in ray.nodes()
        if node["Alive"]
    )
    return sum(int(store.cumulative_created_bytes) for store in stores)


@pytest.mark.slow
def test_tokens_are_equal_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real model, two backends, fp32 and --batch-invariant: other batches on other machines, the same samples."""
    import torch

    monkeypatch.setattr(torch, "get_num_threads", torch.get_num_threads)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = write_tiny_model(tmp_path / "model", max_position_embeddings=256)
        sums = write_sums(tmp_path, 6)
        more = [
            "--widths",
            "1,2,3",
            "--lengths",
            "32,64",
            "--backends",
            "vanilla,tova",
            "--cr",
            "2",
            "--batch-invariant",
        ]
        local = sweep_tiny(tmp_path / "local", model, sums, *more)
        spread = sweep_tiny(
            tmp_path / "ray", model, sums, *more, "--executor", "ray", "--cpus-per-shard", "1", "--shard-problems", "2"
        )
    finally:
        torch.set_num_threads(before)
    pd.testing.assert_frame_equal(
        table(local, "samples").drop(columns=TIMES), table(spread, "samples").drop(columns=TIMES)
    )
    pd.testing.assert_frame_equal(table(local, "grades"), table(spread, "grades"))
    assert os.listdir(spread / "samples")
