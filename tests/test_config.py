from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.config import IDENTITY_FIELDS, Sampling, SweepConfig, make_config, stable_hash
from hyperscale.text import format_bytes, format_tokens, parse_bytes, parse_list, parse_tokens

FIELDS: dict[str, Any] = {"model": "m", "tasks": ("gsm8k",), "grid": ((2, 64), (1, 64)), "output_dir": Path("out")}


def make(**fields: Any) -> SweepConfig:
    return make_config(**{**FIELDS, **fields})


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("8192", 8192), ("8k", 8192), ("64K", 65536), ("1m", 1048576), (" 1.5k ", 1536), ("1_000", 1000), (7, 7)],
)
def test_sizes_in_tokens(text: str | int, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [("2GiB", 2 * 2**30), ("8g", 8 * 2**30), ("500MB", 500_000_000), ("1.5 kib", 1536), ("123", 123), ("5b", 5)],
)
def test_sizes_in_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "k", "8x", "-1", "8GiB", "1.0001k", "8 k k", "1e3"])
def test_what_is_no_number_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="tokens"):
        parse_tokens(text)


@given(st.integers(1, 2**40))
def test_formatted_tokens_are_read_back(tokens: int) -> None:
    assert parse_tokens(format_tokens(tokens).replace(",", "")) == tokens


def test_formatted_bytes() -> None:
    assert [format_bytes(n) for n in (0, 1023, 1536, 2**30 * 2.5)] == ["0 B", "1023 B", "1.5 KiB", "2.5 GiB"]


def test_lists() -> None:
    assert parse_list("a, b") == ("a", "b")
    with pytest.raises(ValueError, match="empty entry"):
        parse_list("a,,b")


def test_grid_is_sorted_and_unique() -> None:
    config = make(grid=((2, 64), (1, 64), (2, 64), (2, 32)))
    assert config.grid == ((1, 64), (2, 32), (2, 64))
    assert config.width == 2
    assert config.lengths == (32, 64)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "--temperature"),
        ({"top_p": 0}, "--top-p"),
        ({"top_p": 1.5}, "--top-p"),
        ({"min_p": 1}, "--min-p"),
        ({"top_k": -1}, "--top-k"),
        ({"seed": -1}, "--seed"),
        ({"limit": 0}, "--limit"),
        ({"dtype": "int8"}, "--dtype"),
        ({"device": "gpu"}, "--device"),
        ({"max_batch": 0}, "--max-batch"),
        ({"memory_budget": 0}, "--memory-budget"),
        ({"tasks": ()}, "--tasks"),
        ({"grid": ((0, 64),)}, "--widths 0: must be at least 1"),
        ({"grid": ((1, 64), (1, 0))}, "--lengths 0: must be at least 1"),
        ({"grid": ()}, "--widths/--lengths (): must not be empty"),
        ({"top_p": float("nan")}, "--top-p nan: must be a finite number"),
        ({"model": ""}, "--model '': must not be empty"),
        ({"dtype": "int8"}, "--dtype 'int8': must be 'auto', 'float32', 'bfloat16' or 'float16'"),
        ({"device": "cuda:x"}, "--device 'cuda:x': must be auto, cpu, cuda or cuda:N"),
        ({"backends": ("tova",), "compression_ratios": ("x",)}, "--cr 'x': must be a number"),
        ({"backends": ("tova",), "compression_ratios": (1,)}, "--cr 1: must be above 1"),
        ({"pool": 1}, "--pool 1 is smaller than the largest width 2"),
        ({"nonsense": 1}, "--nonsense"),
    ],
)
def test_mistakes_are_told_in_one_line_that_names_the_flag(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make(**fields)
    assert message in str(caught.value)
    for noise in ("\n", "Input should", "String should", "Tuple should", "unable to parse"):
        assert noise not in str(caught.value)


@pytest.mark.parametrize(("grid", "flag"), [(((0, 64), (0, 32)), "--widths"), (((1, 0), (2, 0)), "--lengths")])
def test_a_mistake_is_told_once(grid: tuple[tuple[int, int], ...], flag: str) -> None:
    with pytest.raises(ValueError, match=f"^{flag} 0: must be at least 1$"):
        make(grid=grid)


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make().seed = 1  # type: ignore[misc]


CHANGES: dict[str, Any] = {
    "model": "other", "revision": "abc", "dtype": "float32", "temperature": 0.1, "top_p": 0.5, "top_k": 3,
    "min_p": 0.1, "seed": 9, "batch_invariant": True, "device": "cpu", "tasks": ("aime24",), "data": Path("d"),
    "limit": 3, "problem_ids": ("1",), "grid": ((4, 64),), "pool": 7, "memory_budget": 5, "max_batch": 2,
    "output_dir": Path("x"), "task_options": (("", "lengths", "200"),), "code_grader": "official",
    "sandbox": "namespaces", "confirm_run_unsafe_code": True, "engine": "vllm", "gpu_memory_utilization": 0.5,
    "latency": False, "latency_seconds": 9.0,
    "request_concurrency": 3, "executor": "ray", "shard_problems": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_identity_changes_with_what_is_drawn_and_with_nothing_else(name: str) -> None:
    changed = make(**{name: CHANGES[name]}).identity() != make().identity()
    assert changed == (name in (*IDENTITY_FIELDS, "engine"))


def test_an_identity_is_the_same_in_every_release() -> None:
    drawn = {"model": "m", "revision": None, "dtype": "auto", "temperature": 0.6, "top_p": 0.95, "top_k": 0,
             "min_p": 0.0, "seed": 0, "batch_invariant": False}  # fmt: skip
    assert make().identity() == drawn
    assert stable_hash(make().identity()) == "6ff9a0bb4e95e4f7"
    assert stable_hash(make(engine="vllm", tasks=("gsm8k", "b"), seed=3).identity()) == "c2ca7829b0b7b130"
    assert make().model_dump(mode="json") == {
        **drawn, "device": "auto", "tasks": ["gsm8k"], "data": None, "limit": None, "problem_ids": [],
        "task_options": [], "code_grader": "strict", "sandbox": "auto", "confirm_run_unsafe_code": False,
        "backends": ["vanilla"], "compression_ratios": [], "backend_options": [], "grid": [[1, 64], [2, 64]],
        "pool": None, "engine": "torch", "tensor_parallel_size": 1, "pipeline_parallel_size": 1,
        "gpu_memory_utilization": 0.9, "base_url": None, "served_model_name": None, "request_concurrency": 64,
        "executor": "local", "ray_address": None, "shard_problems": None, "gpus_per_shard": None,
        "cpus_per_shard": None, "memory_budget": None, "max_batch": 128, "output_dir": "out",
        "latency": True, "latency_seconds": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("needed", "change"),
    [
        ({"engine": "vllm"}, {"tensor_parallel_size": 2}),
        ({"engine": "vllm"}, {"pipeline_parallel_size": 2}),
        ({"engine": "openai", "base_url": "http://a/v1"}, {"base_url": "http://b/v1"}),
        ({"engine": "openai", "base_url": "http://a/v1"}, {"served_model_name": "m"}),
        ({"executor": "ray"}, {"ray_address": "auto"}),
        ({"executor": "ray"}, {"gpus_per_shard": 2}),
        ({"executor": "ray"}, {"cpus_per_shard": 2}),
    ],
)
def test_where_and_on_how_much_it_runs_is_no_part_of_the_identity(
    needed: dict[str, Any], change: dict[str, Any]
) -> None:
    assert make(**{**needed, **change}).identity() == make(**needed).identity()
    with pytest.raises(ValueError, match=f"--{next(iter(change)).replace('_', '-')}"):
        make(**change)


def test_torch_folders_are_older_than_the_choice_of_an_engine() -> None:
    assert "engine" not in make().identity()
    assert make(engine="vllm").identity()["engine"] == "vllm"


@pytest.mark.parametrize("engine", ["vllm", "openai"])
def test_only_vanilla_runs_in_an_engine_whose_block_table_all_heads_share(engine: str) -> None:
    more = {"base_url": "http://localhost/v1"} if engine == "openai" else {}
    with pytest.raises(
        ValueError, match=r"block table serves all KV heads .* Sweep these backends with --engine torch"
    ):
        make(engine=engine, backends=("vanilla", "dms"), compression_ratios=(4.0,), **more)
    with pytest.raises(ValueError, match="--batch-invariant is for --engine torch"):
        make(engine=engine, batch_invariant=True, **more)


def test_every_field_is_tried_above() -> None:
    together = {"tensor_parallel_size", "pipeline_parallel_size", "base_url", "served_model_name", "ray_address"}
    together |= {"gpus_per_shard", "cpus_per_shard", "backends", "compression_ratios", "backend_options"}
    assert set(SweepConfig.model_fields) - CHANGES.keys() == together


def test_hash_is_the_same_in_another_process_and_whatever_the_order() -> None:
    value = make().identity()
    shuffled = dict(reversed(value.items()))
    code = "import json, sys; from hyperscale.config import stable_hash; print(stable_hash(json.loads(sys.argv[1])))"
    other = subprocess.run(
        [sys.executable, "-c", code, json.dumps(shuffled)], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == stable_hash(value)
    assert stable_hash({**value, "seed": 1}) != stable_hash(value)


def test_sampling_takes_its_fields() -> None:
    sampling = make(temperature=0.3, top_p=0.9, top_k=5, min_p=0.02, seed=11).sampling()
    assert sampling == Sampling(temperature=0.3, top_p=0.9, top_k=5, min_p=0.02, seed=11)
