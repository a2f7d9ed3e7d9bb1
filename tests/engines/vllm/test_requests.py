"""What the vLLM engine asks for and makes of the answers, with a vLLM that is played. The real one: tests/vllm."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.config import Sampling
from hyperscale.engines.base import Job
from hyperscale.engines.vllm.requests import InFlight, Request, problem_seed, requests
from hyperscale.kvcache.shape import CacheShape

SHAPE = CacheShape(layers=2, kv_heads=3, token_bytes=64, page_bytes=64 * 4)
BLOCK = 4
caps = st.dictionaries(st.integers(0, 40), st.sampled_from([64, 128]), min_size=1)


def seed_of(request: Request, child: int) -> int:
    """As vLLM seeds child `child` of a request (vllm/v1/engine/parallel_sampling.py)."""
    return int(request.parameters(Sampling(seed=7), [2])["seed"]) + child


@given(st.lists(caps, max_size=4), st.integers(1, 6))
def test_every_thread_is_asked_for_once_under_its_own_cap_and_seed(jobs_caps: list[dict[int, int]], most: int) -> None:
    jobs = [Job("t", f"p{i}", (5, 6, 7), length_caps) for i, length_caps in enumerate(jobs_caps)]
    asked = {}
    for request in requests(jobs, most):
        assert 1 <= request.count <= most
        for child in range(request.count):
            key = request.job.problem_id, request.first + child
            assert key not in asked
            asked[key] = request.cap, seed_of(request, child)
    expected = {
        (job.problem_id, thread): (cap, problem_seed(7, "t", job.problem_id) + thread)
        for job in jobs
        for thread, cap in job.length_caps.items()
    }
    assert asked == expected


def test_threads_of_one_cap_are_one_request() -> None:
    job = Job("t", "p", (1,), {0: 128, 1: 128, 2: 64, 3: 64, 5: 64})
    assert [(r.first, r.count, r.cap) for r in requests([job], 100)] == [(0, 2, 128), (2, 2, 64), (5, 1, 64)]


def test_seeds_fit_vllms_messages_and_differ_by_problem_task_and_seed() -> None:
    seeds = {problem_seed(s, t, p) for s in range(20) for t in ("a", "b") for p in map(str, range(50))}
    assert len(seeds) == 2000
    assert all(seed >= 0 and seed + 65_536 < 2**63 for seed in seeds)
    spread = np.array(sorted(seeds), np.float64)
    assert np.diff(spread).min() > 65_536, "threads of two problems would share draws"


def test_a_request_leaves_ends_and_text_to_us() -> None:
    request = Request(Job("t", "p", (1, 2, 3), {4: 10, 5: 10}), 4, 2)
    parameters = request.parameters(Sampling(0.7, 0.9, 5, 0.1, seed=3), frozenset({9, 2}))
    seed = parameters.pop("seed")
    assert seed == problem_seed(3, "t", "p") + 4
    assert parameters == {
        "n": 2, "max_tokens": 7, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1,
        "ignore_eos": True, "stop_token_ids": [2, 9], "detokenize": False,
    }  # fmt: skip


def output(name: str, child: int, *tokens: int, reason: str | None = None) -> SimpleNamespace:
    """As vLLM gives a step's tokens of a child (vllm/outputs.py)."""
    inner = SimpleNamespace(index=child, token_ids=list(tokens), finish_reason=reason)
    return SimpleNamespace(request_id=name, outputs=[inner])


def test_steps_are_shared_by_those_who_got_a_token_and_nothing_is_lost() -> None:
    flight = InFlight(SHAPE, BLOCK)
    flight.add("a", Request(Job("t", "p", (1,) * 9, {3: 12, 4: 12}), 3, 2))
    flight.add("b", Request(Job("t", "q", (1,) * 4, {0: 7}), 0, 1))
    assert (len(flight), flight.names) == (3, ["a", "b"])
    held = iter([100, 200, 300])
    steps = [
        (5.0, []),  # part of a long prompt
        (1.0, [output("a", 0, 21)]),
        (3.0, [output("a", 0, 22), output("a", 1, 31), output("b", 0, 41)]),
        (0.5, [output("gone", 0, 7, reason="stop")]),  # of a generation that was given up
        (2.5, [output("a", 0, 2, reason="stop"), output("b", 0, 42), output("a", 1, 32)]),
        (1.0, [output("a", 1, 33, reason="length"), output("b", 0, 43, reason="length")]),
    ]
    chains = [chain for seconds, outputs in steps for chain in flight.step(outputs, seconds, lambda: next(held))]
    assert (len(flight), flight.names) == (0, [])
    found = {(chain.problem_id, chain.thread): chain for chain in chains}
    assert found["p", 3].tokens.tolist() == [21, 22, 2]
    assert found["p", 4].tokens.tolist() == [31, 32, 33]
    assert found["q", 0].tokens.tolist() == [41, 42, 43]
    assert [found[key].finish_reason for key in (("p", 3), ("p", 4), ("q", 0))] == ["stop", "length", "length"]
    assert found["p", 3].step_micros.tolist() == [6_000_000, 1_000_000, 1_000_000]
    assert found["p", 4].step_micros.tolist() == [1_000_000, 1_000_000, 500_000]
    assert sum(int(chain.step_micros.sum()) for chain in chains) == 13_000_000
    assert found["p", 3].batch_threads == pytest.approx((1 + 3 + 3) / 3)
    assert [chain.device_bytes for chain in chains] == [100, 200, 200]
    assert all(chain.accounting == "from_lengths" and chain.prefill_seconds == 0 for chain in chains)


@pytest.mark.parametrize("prompt", [1, 3, 4, 5, 8, 9])
def test_a_block_is_shared_only_where_no_thread_computes_it_again(prompt: int) -> None:
    """By hand: a thread computes its prompt's last token, and its block with it, if that is not shared whole."""
    flight = InFlight(SHAPE, BLOCK)
    flight.add("a", Request(Job("t", "p", (1,) * prompt, {0: prompt + 6}), 0, 1))
    for step in range(5):
        assert flight.step([output("a", 0, step + 10)], 0.1, lambda: None) == []
    (chain,) = flight.step([output("a", 0, 2, reason="stop")], 0.1, lambda: None)
    shared = 0
    while (shared + 1) * BLOCK < prompt:
        shared += 1
    for g in range(1, 7):
        blocks = 1
        while blocks * BLOCK < prompt + g:
            blocks += 1
        assert chain.step_pages[g - 1] == (blocks - shared) * SHAPE.rows
        assert chain.step_reads[g - 1] == chain.step_live[g - 1] == (prompt + g) * SHAPE.rows
    in_prompt = -(-prompt // BLOCK)
    assert chain.page_shared.tolist() == ([6] * shared + [0] * (in_prompt - shared)) * SHAPE.rows
    assert chain.row_live.tolist() == [prompt + 6] * SHAPE.rows


@pytest.mark.parametrize("tokens", [(), (5,)])
@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_thread_that_vllm_gives_up_is_an_error(tokens: tuple[int, ...], reason: str) -> None:
    flight = InFlight(SHAPE, BLOCK)
    flight.add("a", Request(Job("math", "p7", (1,), {0: 6}), 0, 1))
    with pytest.raises(ValueError, match=rf"aborted a thread of task math, problem p7 \({reason}\)"):
        flight.step([output("a", 0, *tokens, reason=reason)], 0.1, lambda: None)


def test_a_step_without_a_token_is_borne_by_the_next() -> None:
    flight = InFlight(SHAPE, BLOCK)
    flight.add("a", Request(Job("t", "p", (1,), {0: 4}), 0, 1))
    assert flight.step([output("a", 0)], 0.5, lambda: None) == []
    (chain,) = flight.step([output("a", 0, 5, 6, 7, reason="length")], 0.7, lambda: None)
    assert chain.step_micros.tolist() == [400_000] * 3


@given(st.lists(st.floats(0, 0.01), min_size=1, max_size=200))
def test_rounding_to_microseconds_does_not_add_up(seconds: list[float]) -> None:
    flight = InFlight(SHAPE, BLOCK)
    flight.add("a", Request(Job("t", "p", (1,), {0: 1000}), 0, 1))
    ends = [None] * (len(seconds) - 1) + ["length"]
    chains = [
        chain
        for share, reason in zip(seconds, ends, strict=True)
        for chain in flight.step([output("a", 0, 5, reason=reason)], share, lambda: None)
    ]
    assert abs(int(chains[0].step_micros.sum()) - sum(seconds) * 1e6) <= 0.51
    assert (np.abs(chains[0].step_micros - np.array(seconds) * 1e6) <= 1.01).all()
