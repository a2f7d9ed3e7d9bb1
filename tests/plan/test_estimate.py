from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hyperscale.cli.main import run
from hyperscale.config import SweepConfig, make_config
from hyperscale.plan.cost import Assumptions, Work
from hyperscale.plan.estimate import (
    Estimates,
    bound_by,
    estimate,
    estimate_lines,
    format_count,
    format_hours,
    format_seconds,
    shards_at_once,
)
from hyperscale.plan.resolve import resolve
from tests.plan.models import write_llama

# As large as Llama-3.1-8B.
LARGE = {
    "hidden_size": 4096, "head_dim": 128, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
}  # fmt: skip


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "large", **LARGE)


def config_of(model: Path, **fields: Any) -> SweepConfig:
    return make_config(
        **{
            "model": str(model), "dtype": "bfloat16", "tasks": ("gsm8k",), "backends": ("vanilla", "tova"),
            "compression_ratios": (4.0,), "grid": ((1, 16384), (2, 8192)), "output_dir": Path("out"),
        } | fields
    )  # fmt: skip


def estimated(config: SweepConfig, problems: dict[str, int | None], **assumed: Any) -> Estimates:
    specs = {run: run.spec for run in resolve(config).runs if run.spec is not None}
    return estimate(config, specs, config.dtype, problems, Assumptions("h100", **assumed))


def test_one_device_does_each_run_of_a_task_in_one_piece(large: Path) -> None:
    found = estimated(config_of(large), {"a": 40, "b": 7})
    assert [(entry.task, entry.run.name) for entry in found.entries] == [
        (task, name) for task in ("a", "b") for name in ("vanilla", "tova B 2k", "tova B 4k")
    ]
    assert found.wall_seconds == pytest.approx(found.seconds)
    assert found.gpu_hours == pytest.approx(found.seconds / 3600)
    assert all(entry.shards == [entry.cost.work(entry.problems).seconds] for entry in found.entries)


@pytest.mark.parametrize("gpus", [2, 5, 64])
def test_more_devices_take_shards_the_longest_first(large: Path, gpus: int) -> None:
    found = estimated(config_of(large), {"a": 401, "b": 7}, gpus=gpus)
    ends = [0.0] * gpus
    shards = []
    for entry in found.entries:
        left = entry.problems
        while left:
            shards.append(entry.cost.work(min(entry.shard, left)).seconds)
            left -= min(entry.shard, left)
    assert sum(map(len, (entry.shards for entry in found.entries))) == len(shards)
    for seconds in sorted(shards, reverse=True):
        ends[ends.index(min(ends))] += seconds
    assert found.wall_seconds == pytest.approx(max(ends))
    assert found.seconds == pytest.approx(sum(shards))
    # Rounding may leave a GPU without a shard of its own, never one in five.
    assert len(shards) >= 0.8 * gpus
    work = [sum(entry.work[i] for entry in found.entries) for i in range(4)]
    assert work[0] == pytest.approx(sum(work[1:]))
    for entry in found.entries:
        # No more than twenty minutes, but for a single problem.
        assert entry.shard == 1 or entry.shards[0] <= 1200
        assert sum(entry.work[1:]) == pytest.approx(sum(entry.shards))


def test_small_shards_cost_more(large: Path) -> None:
    """Their few threads share each reading of the weights."""
    whole = estimated(config_of(large), {"a": 40})
    single = estimated(config_of(large, shard_problems=1), {"a": 40})
    assert single.seconds > 1.5 * whole.seconds
    assert [len(entry.shards) for entry in single.entries] == [40] * 3
    assert [entry.usable for entry in single.entries] == [40] * 3


def test_a_shard_of_several_gpus(large: Path) -> None:
    config = config_of(large, engine="vllm", tensor_parallel_size=4, backends=("vanilla",), compression_ratios=())
    found = estimated(config, {"a": 40})
    assert found.gpus == 4
    assert found.gpu_hours == pytest.approx(4 * found.seconds / 3600)
    [entry] = estimated(config, {"a": 40}, gpus=11).entries
    assert [entry.shard, len(entry.shards)] == [20, 2]
    assert estimated(config, {"a": 40}, gpus=11).wall_seconds == entry.cost.work(20).seconds
    with pytest.raises(ValueError, match="--gpus 3: a shard of this sweep takes 4 GPUs"):
        estimated(config, {"a": 40}, gpus=3)


@pytest.mark.parametrize(
    ("gpus", "needed", "at_once"),
    [
        (1, 0.2, 5), (1, 0.25, 4), (3, 0.2, 15), (2, 0.4, 4), (3, 0.6, 3), (1, 0.1, 10), (10, 1 / 3, 30), (4, 1.0, 4),
        (11, 4.0, 2), (3, 1.5, 2), (3, 4.0, 0),
    ],
)  # fmt: skip
def test_shards_side_by_side(gpus: int, needed: float, at_once: int) -> None:
    """A GPU that is shared holds whole shards alone: two of 0.4 each, whatever else is left of others."""
    assert shards_at_once(gpus, needed) == at_once
    if needed < 1:
        placed, rest = 0, [Fraction(1)] * gpus
        share = Fraction(needed).limit_denominator(1000)
        for i in range(gpus):
            while rest[i] >= share:
                rest[i] -= share
                placed += 1
        assert placed == at_once


@pytest.mark.parametrize(("share", "at_once"), [(0.2, 5), (0.4, 2)])
def test_a_gpu_lent_in_parts_runs_as_many_shards_as_fit_on_it(large: Path, share: float, at_once: int) -> None:
    model = write_llama(large.parent / "small")
    config = config_of(
        model, executor="ray", gpus_per_shard=share, backends=("vanilla",), compression_ratios=(),
        grid=((1, 512),), shard_problems=1,
    )  # fmt: skip
    found = estimated(config, {"a": 3 * at_once})
    [entry] = found.entries
    assert found.gpus == 1
    assert found.wall_seconds == pytest.approx(3 * entry.cost.work(1).seconds)
    assert found.gpu_hours == pytest.approx(share * found.seconds / 3600)
    assert f"there are {3 * at_once}, for at most 3 GPUs" in lines(config, found)


def test_tasks_of_unknown_size_are_told_apart(large: Path) -> None:
    config = config_of(large)
    both, alone = estimated(config, {"a": 9, "x": None}), estimated(config, {"a": 9})
    assert both.seconds == alone.seconds
    assert [entry.problems for entry in both.entries if not entry.known] == [1, 1, 1]
    assert "x: number of problems unknown; its rows are for one problem and not in the sum" in lines(config, both)
    only = estimated(config, {"x": None})
    assert (only.seconds, only.wall_seconds) == (0, 0)
    assert "wall clock" not in lines(config, only)


def test_what_does_not_fit_is_left_out_and_told(large: Path) -> None:
    model = write_llama(large.parent / "larger", **LARGE | {"num_hidden_layers": 64})
    config = config_of(model, grid=((1, 131072),), dtype="float32", compression_ratios=(16.0,))
    found = estimated(config, {"a": 9})
    assert [entry.run.name for entry in found.entries] == ["tova B 8k"]
    assert "error: vanilla does not fit 1 x h100" in lines(config, found)


def lines(config: SweepConfig, found: Estimates) -> str:
    return "\n".join(estimate_lines(config, found, config.dtype, Assumptions("h100")))


def test_plan_prints_what_it_costs(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["--model", str(large), "-t", "gsm8k", "--limit", "20", "--widths", "1,2", "--lengths", "8k"]
    asked = ["--accelerator", "h200", "--gpus", "2", "--prompt-tokens", "100", "--reach", "0.5"]
    assert run(["plan", *sweep, *asked]) == 0
    out = capsys.readouterr().out
    tokens = 20 * 2 * (4096 - 100)
    assert f"{tokens / 1000:.0f} k" in out
    # In every step 20 threads, of two shards, share 15 GB of weights; they hold 2,098 tokens of 128 KiB on average.
    seconds = 2 * 3996 * (15.01e9 + 20 * 2098.5 * 131072) / 4.8e12
    assert f"{seconds:.3g} s" in out
    assert "planned on h200 (--accelerator): 989.5 TFLOP/s, 4,800 GB/s, 131 GiB" in out
    assert "every chain reaches 50% of its cap, prompts take 100 tokens" in out
    assert f"wall clock on 2 GPUs: {seconds / 2:.3g} s" in out
    assert "weights 15 GiB" in out
    assert run(["sweep", *sweep, "--dry-run"]) == 0
    assert "wall clock on 1 GPU: " in capsys.readouterr().out


def test_a_plan_without_the_model_has_no_estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--model", str(tmp_path / "none"), "-t", "gsm8k", "--budget", "8k", "--gpus", "4"]) == 0
    out = capsys.readouterr().out
    assert "bytes: unknown" in out
    assert "planned on" not in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--accelerator", "b200"], "accelerator 'b200' is not known: use h100, h200, a100, or this"),
        (["--gpus", "0"], "--gpus 0: must be at least 1"),
        (["--reach", "2"], "--reach 2: must be above 0 and at most 1"),
        (["--prompt-tokens", "-1"], "--prompt-tokens -1"),
    ],
)
def test_a_wrong_flag_is_told(large: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str) -> None:
    assert run(["plan", "--model", str(large), "-t", "gsm8k", "--budget", "8k", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_words_for_numbers() -> None:
    assert [format_count(count) for count in (0, 12, 999, 1000, 9_994_000, 1.5e9, 2.5e15)] == [
        "0", "12", "999", "1 k", "9.99 M", "1.5 G", "2.5e+03 T",
    ]  # fmt: skip
    assert [format_seconds(seconds) for seconds in (0, 5, 119, 120, 7199, 7200, 86400, 4 * 86400, 1e7)] == [
        "0 s", "5 s", "119 s", "2 min", "120 min", "2 h", "24 h", "4 days", "116 days",
    ]  # fmt: skip
    assert [format_hours(hours) for hours in (0, 1e-5, 0.5, 1234)] == ["0", "< 0.001", "0.5", "1.23e+03"]
    assert bound_by(Work(10, 7, 2, 1)) == "weights 70%"
    assert bound_by(Work(10, 1, 2, 7)) == "compute 70%"
    assert bound_by(Work(0, 0, 0, 0)) == ""
    assert math.isclose(sum(Work(10, 7, 2, 1)[1:]), 10)
