from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from hyperscale.analysis.intervals import mean_interval

ACCURACY = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])


@given(st.lists(ACCURACY, min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_mean_and_stays_in_range(values: list[float]) -> None:
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(np.mean(values))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1


@given(st.lists(ACCURACY, min_size=2, max_size=20))
@settings(max_examples=100, deadline=None)
def test_it_is_the_normal_interval_of_a_sample_with_made_up_problems(values: list[float]) -> None:
    """z^2 = 3.8415 problems more, half of them right, weighed problem by problem."""
    weighed = [*((value, 1.0) for value in values), (0.0, 3.8414588 / 2), (1.0, 3.8414588 / 2)]
    total = sum(weight for _, weight in weighed)
    centre = sum(weight * value for value, weight in weighed) / total
    variance = sum(weight * (value - centre) ** 2 for value, weight in weighed) / total
    half = 1.9599640 * sqrt(variance / total)
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-6)


def test_for_right_and_wrong_it_is_agresti_and_coulls() -> None:
    """By hand: 10.92 of 13.84 is 0.789 +- 0.215; 6.92 of 13.84 is 0.5 +- 0.263."""
    assert mean_interval([1] * 9 + [0]).low == pytest.approx(0.574, abs=1e-3)
    assert mean_interval([1] * 9 + [0]).high == 1
    assert mean_interval([1, 0] * 5)[1:3] == pytest.approx((0.237, 0.763), abs=1e-3)


@pytest.mark.parametrize("count", [2, 12, 30, 198])
def test_there_is_no_cliff_at_perfection(count: int) -> None:
    """More right answers never lower an end; a thousandth of an answer hardly moves one."""
    rights = [mean_interval(np.arange(count) < right) for right in range(count + 1)]
    for worse, better in pairwise(rights):
        assert worse.low <= better.low
        assert worse.high <= better.high
        assert better.low - worse.low < 1.7 / count
    nearly = np.ones(count)
    nearly[0] = 0.999
    assert mean_interval(nearly)[1:3] == pytest.approx(rights[-1][1:3], abs=2e-3)
    assert rights[0].high == pytest.approx(1 - rights[-1].low)
    assert rights[-1].low > mean_interval([1.0] * (count - 1) + [0.0]).low


World = Callable[[np.random.Generator, int], np.ndarray]


@pytest.mark.parametrize("problems", [12, 30])
@pytest.mark.parametrize(
    ("world", "truth"),
    [
        (lambda draw, n: np.where(draw.random(n) < 0.9, 0.95, 0.05), 0.86),
        (lambda draw, n: (draw.random(n) < 0.98).astype(float), 0.98),
        (lambda draw, n: draw.beta(0.2, 2, n), 0.2 / 2.2),
        (lambda draw, n: np.full(n, 0.5), 0.5),
    ],
)
def test_it_covers_the_truth_about_as_often_as_it_says(world: World, truth: float, problems: int) -> None:
    draw = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        interval = mean_interval(draw.binomial(8, world(draw, problems)) / 8)
        covered += interval.low <= truth <= interval.high
    # A true coverage of 0.93 falls below this once in 2000 seeds.
    assert covered >= binom.ppf(0.0005, 400, 0.93)


def test_one_problem_says_nothing() -> None:
    for value in (1.0, 0.3):
        interval = mean_interval([value])
        assert interval[:3] == (value, 0.0, 1.0)
        assert np.isnan(interval.standard_error)


def test_the_standard_error_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).random(50)
    by_hand = sqrt(sum((value - sum(values) / 50) ** 2 for value in values) / 49 / 50)
    assert mean_interval(values).standard_error == pytest.approx(by_hand)
    assert mean_interval([0.25] * 4).standard_error == 0


def test_it_is_near_the_normal_interval_where_that_holds() -> None:
    values = np.random.default_rng(1).random(400)
    interval = mean_interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.003)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.003)
    wide = mean_interval(values[:20])
    assert wide.high - wide.low > interval.high - interval.low


@pytest.mark.parametrize("values", [[], [0.5, np.nan], [0.5, 1.5], [[0.5]]])
def test_what_is_no_list_of_accuracies_is_an_assertion(values: list) -> None:
    with pytest.raises(AssertionError):
        mean_interval(values)
