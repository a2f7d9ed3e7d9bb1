from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.config import SweepConfig, make_config
from hyperscale.engines.base import Job
from hyperscale.plan.resolve import resolve
from hyperscale.plan.runs import Point, budget_grid, length_caps, product_grid
from tests.fakes import FakeEngine
from tests.test_config import make

POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 50)), min_size=1, max_size=12)


def test_budget_of_64k_from_8k_on() -> None:
    k = 1024
    widths_at = {8 * k: (1, 2, 4, 8), 16 * k: (1, 2, 4), 32 * k: (1, 2), 64 * k: (1,)}
    assert set(budget_grid(64 * k, 8 * k)) == {(w, length) for length, ws in widths_at.items() for w in ws}


@given(st.integers(1, 5000), st.integers(1, 600))
def test_budget_grid_is_all_powers_of_two_within_it(budget: int, min_length: int) -> None:
    powers = [2**n for n in range(14)]
    expected = [(w, n) for w in powers for n in powers if n >= min_length and w * n <= budget]
    if expected:
        assert list(budget_grid(budget, min_length)) == sorted(expected)
    else:
        with pytest.raises(ValueError, match="--min-length"):
            budget_grid(budget, min_length)


def test_product_grid_is_every_pair_once() -> None:
    assert product_grid([2, 1, 2], [30, 20]) == ((1, 20), (1, 30), (2, 20), (2, 30))


@given(POINTS)
def test_caps_are_the_smallest_that_hold_every_point(points: list[Point]) -> None:
    caps = length_caps(points)
    for width, length in points:
        assert all(cap >= length for cap in caps[:width])
    for thread, cap in enumerate(caps):
        smaller = [*caps[:thread], cap - 1, *caps[thread + 1 :]]
        assert any(min(smaller[:width]) < length for width, length in points)


@given(POINTS, st.integers(9, 12))
def test_a_pool_gives_every_length_that_many_threads(points: list[Point], pool: int) -> None:
    caps = length_caps(points, pool)
    for _, length in points:
        assert sum(cap >= length for cap in caps) == pool


def config_of(points: tuple[Point, ...]) -> SweepConfig:
    return make_config(model="m", tasks=("gsm8k",), grid=points, output_dir=Path("out"))


def test_vanilla_needs_one_run_for_the_whole_grid() -> None:
    points = budget_grid(64, 8)
    (run,) = resolve(config_of(points)).runs
    assert (run.backend, run.compression_ratio, run.cache_budget) == ("vanilla", 1.0, None)
    assert run.points == points
    assert run.length_caps == (64, 32, 16, 16, 8, 8, 8, 8)
    assert [run.pool(length) for length in (8, 16, 32, 64)] == [8, 4, 2, 1]
    assert run.describe_caps() == "1 x 64, 1 x 32, 2 x 16, 4 x 8"


def test_a_part_of_a_run_has_the_points_and_threads_from_an_l_on() -> None:
    (run,) = resolve(config_of(budget_grid(64, 8))).runs
    part = run.from_length(16)
    assert part is not None
    assert part.points == ((1, 16), (1, 32), (1, 64), (2, 16), (2, 32), (4, 16))
    assert part.length_caps == (64, 32, 16, 16)
    assert run.from_length(8) == run
    assert run.from_length(65) is None


def test_the_issue_s_grid_costs_a_third_of_its_points() -> None:
    (run,) = resolve(config_of(product_grid([1, 2, 4, 8], [128, 256, 512]))).runs
    assert run.separate_tokens == 15 * 896
    assert run.separate_tokens >= 3 * run.max_tokens


def test_chains_that_end_by_themselves_make_the_saving_larger() -> None:
    points = product_grid([1, 2, 4, 8], [16, 32, 64])

    def generated(caps: dict[int, int]) -> int:
        jobs = [Job("toy", f"p{i}", (1, 2), caps) for i in range(20)]
        return sum(len(chain.tokens) for chain in FakeEngine(seed=0).generate(jobs))

    alone = sum(generated(dict.fromkeys(range(width), length)) for width, length in points)
    covering = generated(dict(enumerate(length_caps(points))))
    bound = sum(width * (length - 2) for width, length in points) / sum(cap - 2 for cap in length_caps(points))
    assert alone / covering > bound > 3


@settings(max_examples=40)
@given(points=POINTS, seed=st.integers(0, 99), prompt=st.integers(1, 6))
def test_a_covered_point_equals_the_point_generated_alone(points: list[Point], seed: int, prompt: int) -> None:
    """Token for token: threads of a run, cut at L, are the threads that a run for (W, L) alone makes."""

    def generate(caps: dict[int, int]) -> dict[int, tuple[list[int], str]]:
        room = {thread: cap for thread, cap in caps.items() if cap > prompt}
        chains = FakeEngine(seed).generate([Job("toy", "p", tuple(range(prompt)), room)] if room else [])
        return {chain.thread: (chain.tokens.tolist(), chain.finish_reason) for chain in chains}

    covering = generate(dict(enumerate(length_caps(points))))
    for width, length in points:
        alone = generate(dict.fromkeys(range(width), length))
        for thread in range(width):
            tokens, reason = covering.get(thread, ([], "length"))
            kept = tokens[: max(0, length - prompt)]
            whole = reason == "stop" and len(kept) == len(tokens)
            assert (kept, "stop" if whole else "length") == alone.get(thread, ([], "length"))


def test_budgets_that_a_backend_cannot_work_with_are_left_out_and_named() -> None:
    config = make(grid=((1, 64), (1, 128)), backends=("vanilla", "quest", "tova"), compression_ratios=(4, 8))
    assert {run.name for run in resolve(config).runs} == {
        "vanilla",
        "quest B 16",
        "quest B 32",
        "tova B 8",
        "tova B 16",
        "tova B 32",
    }
    [line] = list(resolve(config).left_out)
    assert line.startswith("quest at B = 8 (L 64): ")
    assert list(resolve(make(grid=((1, 128),), backends=("quest",), compression_ratios=(4,))).left_out) == []
    with pytest.raises(ValueError, match="page"):
        resolve(make(grid=((1, 64),), backends=("quest",), compression_ratios=(8,)))
