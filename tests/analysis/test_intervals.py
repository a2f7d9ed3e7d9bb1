from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from hyperscale.analysis.intervals import mean_interval


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_interval_holds_the_mean_and_stays_in_range(values: list[float]) -> None:
    interval = mean_interval(values, resamples=200)
    assert interval.mean == pytest.approx(np.mean(values))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_it_covers_the_truth_about_as_often_as_it_says(rate: float) -> None:
    draw = np.random.default_rng(3)
    covered = 0
    for seed in range(300):
        interval = mean_interval(draw.random(40) < rate, resamples=500, seed=seed)
        covered += interval.low <= rate <= interval.high
    assert 0.90 <= covered / 300 <= 0.99


@pytest.mark.parametrize("count", [2, 5, 30])
def test_where_all_problems_agree_it_is_the_exact_binomial_one(count: int) -> None:
    none, full = mean_interval(np.zeros(count)), mean_interval(np.ones(count))
    assert (none.low, full.high) == (0, 1)
    assert binom.cdf(0, count, none.high) == pytest.approx(0.025)
    assert binom.cdf(0, count, 1 - full.low) == pytest.approx(0.025)
    half = mean_interval(np.full(2 * count, 0.5))
    assert binom.cdf(count, 2 * count, half.high) == pytest.approx(0.025)
    assert half.low == pytest.approx(1 - half.high)


def test_one_problem_says_nothing() -> None:
    assert mean_interval([1.0]) == (1.0, 0.0, 1.0)
    assert mean_interval([0.3]) == (0.3, 0.0, 1.0)


def test_nearly_equal_values_count_as_equal() -> None:
    values = np.full(10, 1 / 3)
    values[::2] += 1e-16
    interval = mean_interval(values)
    assert interval.high - interval.low > 0.3


def test_it_is_seeded_and_narrows_with_more_problems() -> None:
    values = np.random.default_rng(0).random(200)
    assert mean_interval(values, seed=4) == mean_interval(values, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)
    wide, narrow = mean_interval(values[:20]), mean_interval(values)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_it_is_near_the_normal_interval_where_that_holds() -> None:
    values = np.random.default_rng(1).random(400)
    interval = mean_interval(values, resamples=9999)
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.003)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.003)


@pytest.mark.parametrize("values", [[], [0.5, np.nan], [0.5, 1.5], [[0.5]]])
def test_what_is_no_list_of_accuracies_is_an_assertion(values: list) -> None:
    with pytest.raises(AssertionError):
        mean_interval(values)


def test_undefined_bca_gives_way_to_percentiles_that_hold_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    methods: list[str] = []

    def bootstrap(values_n: np.ndarray, method: str, *settings: object) -> tuple[float, float]:
        methods.append(method)
        return (np.nan, np.nan) if method == "BCa" else (0.6, 0.7)

    monkeypatch.setattr("hyperscale.analysis.intervals._bootstrap", bootstrap)
    assert mean_interval([0.0, 1.0]) == (0.5, 0.5, 0.7)
    assert methods == ["BCa", "percentile"]
