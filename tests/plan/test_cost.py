from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from hyperscale.backends import backend_class, backend_names
from hyperscale.backends.base import Backend
from hyperscale.backends.bounded import Bounded
from hyperscale.config import SweepConfig, make_config
from hyperscale.hardware.devices import Device
from hyperscale.model.spec import GateSpec, ModelSpec, spec_from_config
from hyperscale.plan.cost import Assumptions, RunCost, attended, dense_tokens, makespan, problems_within, shard_problems
from hyperscale.plan.runs import Run, make_run, product_grid
from tests.plan.models import write_llama

LAYERS, KV_HEADS, HEAD_DIM, HEADS, HIDDEN, FFN, VOCAB = 2, 2, 16, 4, 64, 96, 100
SPEC = spec_from_config(
    LlamaConfig(
        hidden_size=HIDDEN, head_dim=HEAD_DIM, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, intermediate_size=FFN, vocab_size=VOCAB, max_position_embeddings=4096,
    )
)  # fmt: skip
WEIGHTS = LAYERS * HIDDEN * (2 * HEADS * HEAD_DIM + 2 * KV_HEADS * HEAD_DIM + 3 * FFN) + HIDDEN * VOCAB
SLOW_MEMORY = Device("slow memory", flops=1e15, bandwidth=1e6, memory_bytes=1e9)
SLOW_CORES = Device("slow cores", flops=1e6, bandwidth=1e15, memory_bytes=1e9)


@dataclass(frozen=True)
class On(Assumptions):
    """Assumptions with a device of the test's own."""

    own: Device = SLOW_MEMORY

    def device(self, config: SweepConfig, dtype: str) -> tuple[Device, str]:
        return self.own, "test"


def config_of(**fields: Any) -> SweepConfig:
    return make_config(**{"model": "m", "tasks": ("gsm8k",), "grid": ((1, 64),), "output_dir": Path("out")} | fields)


def run_of(caps: tuple[int, ...], backend: str = "vanilla", budget: int | None = None) -> Run:
    return make_run(backend, None if budget else 1.0, budget, caps, tuple((1, cap) for cap in set(caps)))


def simulated(caps: tuple[int, ...], problems: int, prompt: int, together: int, device: Device) -> float:
    """Seconds of every step of a batch that takes a thread as soon as one ends, and of prefills; bfloat16, vanilla."""
    waiting = [cap for _ in range(problems) for cap in caps if cap > prompt]
    running: list[tuple[int, int]] = []
    seconds = 0.0
    while waiting or running:
        while waiting and len(running) < together:
            running.append((prompt, waiting.pop(0)))
        running = [(length + 1, cap) for length, cap in running]
        held = sum(length for length, _ in running)
        read = 2 * WEIGHTS + held * LAYERS * KV_HEADS * 2 * HEAD_DIM * 2
        computed = len(running) * 2 * WEIGHTS + held * LAYERS * HEADS * 4 * HEAD_DIM
        seconds += max(read / device.bandwidth, computed / device.flops)
        running = [(length, cap) for length, cap in running if length < cap]
    flops = sum(2 * (WEIGHTS - HIDDEN * VOCAB) + t * LAYERS * HEADS * 4 * HEAD_DIM for t in range(1, prompt + 1))
    written = 2 * WEIGHTS + prompt * LAYERS * KV_HEADS * 2 * HEAD_DIM * 2
    return seconds + problems * max((flops + 2 * HIDDEN * VOCAB) / device.flops, written / device.bandwidth)


@pytest.mark.parametrize(
    ("caps", "problems", "together", "device"),
    [
        ((64,) * 3, 5, 128, SLOW_MEMORY),
        ((64,) * 3, 5, 5, SLOW_MEMORY),
        ((64, 48, 48, 20), 7, 6, SLOW_MEMORY),
        ((64, 48, 48, 20), 1, 2, SLOW_MEMORY),
        ((64, 64, 8), 2, 3, SLOW_MEMORY),  # The third thread's prompt fills its cap.
        ((64, 48, 48, 20), 7, 6, SLOW_CORES),
    ],
)
def test_seconds_are_those_of_a_simulated_batch(
    caps: tuple[int, ...], problems: int, together: int, device: Device
) -> None:
    config = config_of(max_batch=together)
    cost = RunCost(config, run_of(caps), SPEC, "bfloat16", On(prompt_tokens=10, own=device))
    assert cost.fit.threads == together
    work = cost.work(problems)
    assert work.seconds == pytest.approx(simulated(caps, problems, 10, together, device), rel=1e-9)
    assert work.weights + work.cache + work.compute == pytest.approx(work.seconds)
    assert (work.weights > 0) == (work.cache > 0) == (device is SLOW_MEMORY)
    assert cost.tokens(problems) == problems * sum(max(cap - 10, 0) for cap in caps)


@pytest.mark.parametrize("device", [SLOW_MEMORY, SLOW_CORES])
@pytest.mark.parametrize("backend", ["tova", "h2o", "random", "quest"])
def test_what_a_budget_leaves_of_a_prompt_is_fed_by_token(backend: str, device: Device) -> None:
    """Token by token; Quest, which keeps everything, prefills all of it at once."""
    assumed = On(prompt_tokens=40, own=device)
    work = RunCost(config_of(), run_of((64, 64), backend, 16), SPEC, "bfloat16", assumed).work(3)
    prefilled = 40 if backend == "quest" else 16
    flops = sum(2 * (WEIGHTS - HIDDEN * VOCAB) + t * LAYERS * HEADS * 4 * HEAD_DIM for t in range(1, prefilled + 1))
    written = 2 * WEIGHTS + prefilled * LAYERS * KV_HEADS * 2 * HEAD_DIM * 2
    seconds = 3 * max((flops + 2 * HIDDEN * VOCAB) / device.flops, written / device.bandwidth)
    for _ in range(3 * (40 - prefilled)):
        read = 2 * WEIGHTS + 16 * LAYERS * KV_HEADS * 2 * HEAD_DIM * 2
        seconds += max(read / device.bandwidth, (2 * WEIGHTS + 16 * LAYERS * HEADS * 4 * HEAD_DIM) / device.flops)
    for length in range(41, 65):
        held = 6 * (16 + (math.ceil(length / 16) if backend == "quest" else 0))
        read = 2 * WEIGHTS + held * LAYERS * KV_HEADS * 2 * HEAD_DIM * 2
        computed = 6 * 2 * WEIGHTS + held * LAYERS * HEADS * 4 * HEAD_DIM
        seconds += max(read / device.bandwidth, computed / device.flops)
    assert work.seconds == pytest.approx(seconds)
    assert sum(work[1:]) == pytest.approx(seconds)


def test_time_is_told_apart_by_what_bounds_it() -> None:
    cost = RunCost(config_of(), run_of((64,) * 4), SPEC, "bfloat16", On(prompt_tokens=10))
    work = cost.work(2)
    assert work.weights == pytest.approx(54 * 2 * WEIGHTS / 1e6)
    assert work.cache == pytest.approx(8 * sum(range(11, 65)) * 256 / 1e6)


def test_devices_that_share_a_model_share_its_time() -> None:
    one = RunCost(config_of(engine="vllm"), run_of((64,) * 4), SPEC, "bfloat16", On(prompt_tokens=10))
    two = RunCost(
        config_of(engine="vllm", tensor_parallel_size=2), run_of((64,) * 4), SPEC, "bfloat16", On(prompt_tokens=10)
    )
    half = RunCost(
        config_of(executor="ray", gpus_per_shard=0.5), run_of((64,) * 4), SPEC, "bfloat16", On(prompt_tokens=10)
    )
    assert one.work(3).seconds == pytest.approx(2 * two.work(3).seconds)
    assert half.work(3).seconds == pytest.approx(2 * one.work(3).seconds)


def test_reach_shortens_every_chain() -> None:
    cost = RunCost(config_of(), run_of((64, 40, 20)), SPEC, "bfloat16", On(prompt_tokens=10, reach=0.3))
    assert cost.steps == [20 - 10, 12 - 10, 0]
    assert cost.work(4).seconds == pytest.approx(simulated((20, 12, 6), 4, 10, 128, SLOW_MEMORY))


def test_nothing_is_spent_where_prompts_fill_their_caps() -> None:
    cost = RunCost(config_of(), run_of((8, 8)), SPEC, "bfloat16", On(prompt_tokens=10))
    assert cost.work(3) == (0, 0, 0, 0)
    assert cost.tokens(3) == cost.stored_bytes(3) == 0


def test_what_each_backend_attends() -> None:
    lengths = range(1, 200)
    dms = replace(SPEC, gates=GateSpec("borrowed", window=20, ratio=4))
    dmc = replace(SPEC, gates=GateSpec("dmc", ratio=8))
    unknown = replace(SPEC, gates=GateSpec("borrowed", window=20))

    def read(run: Run, spec: ModelSpec = SPEC) -> list[float]:
        return [float(tokens) for tokens in attended(run, spec, lengths)]

    whole = [float(length) for length in lengths]
    assert read(run_of((200,))) == whole
    for name in ("tova", "h2o", "random"):
        assert read(run_of((200,), name, 32)) == [min(length, 32) for length in lengths]
    # Quest looks at the bounds of every page, a token's worth each, once there is something to choose.
    assert read(run_of((200,), "quest", 32)) == [
        length if length <= 32 else 32 + math.ceil(length / 16) for length in lengths
    ]
    # paper.md, A5: the window and the newest token, and a fourth of what is before them.
    assert read(run_of((200,), "dms"), dms) == [
        length if length <= 21 else 21 + math.ceil((length - 21) / 4) for length in lengths
    ]
    assert read(run_of((200,), "dmc"), dmc) == [math.ceil(length / 8) for length in lengths]
    assert read(run_of((200,), "dms"), unknown) == whole


def test_makespan_is_that_of_workers_watched_one_by_one() -> None:
    durations = [5.0, 1.0, 1.0, 4.0, 2.0, 2.0, 7.0]
    for workers in (1, 2, 3, 10):
        busy = [0.0] * workers
        for duration in durations:
            first = busy.index(min(busy))
            busy[first] += duration
        assert makespan(durations, workers) == max(busy)
    assert makespan([], 2) == 0


def test_a_shard_is_as_large_as_its_time_allows() -> None:
    cost = RunCost(config_of(max_batch=8), run_of((64, 48)), SPEC, "bfloat16", On(prompt_tokens=10))
    for seconds in (0.0, 30.0, 77.7, 123.0, 400.0):
        fitting = [problems for problems in range(1, 200) if cost.work(problems).seconds <= seconds]
        assert problems_within(seconds, cost) == max(fitting, default=1)


def test_shards_take_twenty_minutes_and_at_least_a_problem(tmp_path: Path) -> None:
    config = config_of(
        model=str(write_llama(tmp_path)), dtype="bfloat16", grid=product_grid((1, 2), (2048,)), shard_problems=None
    )
    run = replace(run_of((2048, 2048)), spec=SPEC)
    cost = RunCost(config, run, SPEC, "bfloat16", Assumptions("h100"))
    assert shard_problems(config, run) == shard_problems(config, run, Assumptions("h100")) == 4096
    assert cost.work(4096).seconds < 1200
    slow = On(own=Device("slow", 1e15, 1e7, 1e9))
    chosen = shard_problems(config, run, slow)
    cost = RunCost(config, run, SPEC, "bfloat16", slow)
    assert chosen > 1
    assert cost.work(chosen).seconds <= 1200 < cost.work(chosen + 1).seconds
    assert shard_problems(config, run, On(own=Device("slower", 1e15, 1e4, 1e9))) == 1


def test_a_prompt_is_at_most_half_of_the_least_length_unless_told() -> None:
    assert Assumptions().prompt(config_of(grid=((1, 8192), (1, 1024)))) == 256
    assert Assumptions().prompt(config_of(grid=((1, 8192), (1, 64)))) == 32
    assert Assumptions().prompt(config_of(grid=((1, 1),))) == 1
    assert Assumptions(prompt_tokens=3000).prompt(config_of(grid=((1, 64),))) == 3000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"accelerator": "b200"}, "'b200' is not known: use h100"),
        ({"gpus": 0}, "--gpus 0: must be at least 1"),
        ({"prompt_tokens": 0}, "--prompt-tokens 0"),
        ({"reach": 0.0}, "--reach 0: must be above 0"),
        ({"reach": 1.5}, "--reach 1.5"),
        ({"reach": math.nan}, "--reach nan"),
    ],
)
def test_assumptions_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Assumptions(**fields)


def test_the_device_planned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Device("CPU", 1.0, 1.0, 1.0)
    monkeypatch.setattr("hyperscale.plan.cost.this_machine", lambda dtype, device: measured)
    monkeypatch.setattr("hyperscale.plan.cost.own_preset", lambda: None)
    assert Assumptions().device(config_of(), "bfloat16")[0].name == "h100"
    assert "assumed" in Assumptions().device(config_of(), "bfloat16")[1]
    assert Assumptions().device(config_of(device="cpu"), "bfloat16")[0] is measured
    assert Assumptions("this").device(config_of(), "bfloat16")[0] is measured
    assert Assumptions("a100").device(config_of(device="cpu"), "float32")[0].flops == 19.5e12
    monkeypatch.setattr("hyperscale.plan.cost.own_preset", lambda: "h200")
    assert Assumptions().device(config_of(), "bfloat16")[0].name == "h200"


def test_who_feeds_a_prompt_by_token() -> None:
    """By the backends themselves."""

    def dense(source: str, prompt: int, budget: int | None) -> int:
        return dense_tokens(make_run(source, None if budget else 1.0, budget, (2000,), ((1, 2000),)), prompt)

    policies = {name: backend_class(name) for name in backend_names()}
    fed = {name for name, policy in policies.items() if policy.dense_prompt is not Backend.dense_prompt}
    assert {name for name, policy in policies.items() if policy.knows_length and dense(name, 999, 32) == 32} == fed
    assert {name for name, policy in policies.items() if issubclass(policy, Bounded)} == fed
    assert [dense("tova", prompt, 32) for prompt in (31, 32, 33, 999)] == [31, 32, 32, 32]
    assert dense("quest", 999, 32) == dense("vanilla", 999, None) == 999
