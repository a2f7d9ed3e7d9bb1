from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.analysis.curves import INTERPOLATIONS, READINGS, Interpolation, Reading, curve_gains, frontier_curves
from hyperscale.analysis.gain import gain, gains
from tests.analysis.synthetic import outcomes_table
from tests.reference import frontier as reference

INTEGER = st.integers(1, 40).map(float)


POWER = st.integers(0, 12).map(lambda exponent: 2.0**exponent)


ACCURACY = st.floats(0, 1)


Points = list[reference.Point]


def sets_of(cost: st.SearchStrategy[float]) -> st.SearchStrategy[Points]:
    return st.lists(st.tuples(cost, ACCURACY), min_size=1, max_size=7)


def columns(points: Points) -> tuple[list[float], list[float]]:
    return [cost for cost, _ in points], [accuracy for _, accuracy in points]


def agrees(value: float, expected: float | None, tolerance: float = 1e-9) -> bool:
    return math.isnan(value) if expected is None else abs(value - expected) <= tolerance


def steps_between(a: Points, b: Points) -> int:
    """Cells so that every corner of whole-numbered curves is a boundary: there, midpoints are exact."""
    curves = [[points[i][0] for i in reference.frontier(points)] for points in (a, b)]
    return max(1, 2 * round(min(c[-1] for c in curves) - max(c[0] for c in curves)))


VALUE = {"step": reference.attained_at, "linear": reference.value_at}


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@given(sets_of(INTEGER), sets_of(INTEGER))
def test_linear_gain_is_the_mean_difference(interpolation: Interpolation, a: Points, b: Points) -> None:
    expected = reference.gain(a, b, steps=steps_between(a, b), value=VALUE[interpolation])
    assert agrees(gain(columns(a), columns(b), scale="linear", interpolation=interpolation).value, expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@given(sets_of(POWER), sets_of(POWER))
def test_log2_gain_is_the_mean_difference_over_log2_budgets(interpolation: Interpolation, a: Points, b: Points) -> None:
    logs = [[(math.log2(cost), accuracy) for cost, accuracy in points] for points in (a, b)]
    expected = reference.gain(a, b, math.log2, steps=steps_between(*logs), value=VALUE[interpolation])
    assert agrees(gain(columns(a), columns(b), scale="log2", interpolation=interpolation).value, expected)


@pytest.mark.parametrize("reading", READINGS)
@settings(max_examples=20, deadline=None)
@given(sets_of(st.floats(1, 1e6)), sets_of(st.floats(1, 1e6)))
def test_gain_on_any_costs_is_near_a_sampled_integral(reading: Reading, a: Points, b: Points) -> None:
    found = gain(columns(a), columns(b), **reading._asdict()).value
    scale = math.log2 if reading.scale == "log2" else float
    expected = reference.gain(a, b, scale, steps=4000, value=VALUE[reading.interpolation])
    # A cell that holds a corner may be wrong by the curve's whole rise there: at most 14 cells of 4000.
    assert agrees(found, expected, tolerance=14 / 4000)


@pytest.mark.parametrize("reading", READINGS)
@settings(max_examples=40, deadline=None)
@given(sets_of(INTEGER), sets_of(INTEGER), st.integers(1, 20), st.integers(1, 30))
def test_over_given_budgets_curves_go_on_level(reading: Reading, a: Points, b: Points, low: int, size: int) -> None:
    sides = [[np.array([column]) for column in columns(side)] for side in (a, b)]
    curves = [frontier_curves(costs, accuracies, False) for costs, accuracies in sides]
    found = curve_gains(curves[0], curves[1], reading, False, (low, low + size))
    scale = math.log2 if reading.scale == "log2" else float
    given_budgets = scale(low), scale(low + size)
    expected = reference.gain(a, b, scale, steps=4000, value=VALUE[reading.interpolation], within=given_budgets)
    assert agrees(float(found.value_r[0]), expected, tolerance=14 / 4000)
    if expected is not None:
        begun = max(scale(min(cost for cost, _ in side)) for side in (a, b))
        assert found.span_r[0] == pytest.approx(given_budgets[1] - max(given_budgets[0], begun))


@pytest.mark.parametrize("reading", READINGS)
@given(sets_of(INTEGER), sets_of(INTEGER), st.sampled_from([True, False]))
def test_gain_is_antisymmetric_and_zero_against_itself(reading: Reading, a: Points, b: Points, maximise: bool) -> None:
    there = gain(columns(a), columns(b), **reading._asdict(), maximise_cost=maximise)
    back = gain(columns(b), columns(a), **reading._asdict(), maximise_cost=maximise)
    assert (math.isnan(there.value) and math.isnan(back.value)) or there.value == pytest.approx(-back.value)
    assert there[1:] == pytest.approx(back[1:], nan_ok=True)
    itself = gain(columns(a), columns(a), **reading._asdict(), maximise_cost=maximise).value
    assert math.isnan(itself) or itself == 0


@pytest.mark.parametrize("reading", READINGS)
@given(sets_of(INTEGER), sets_of(INTEGER), st.data())
def test_dominated_quarantined_and_repeated_points_change_nothing(
    reading: Reading, a: Points, b: Points, data: st.DataObject
) -> None:
    """Nor does the order of points; a point of equal cost or of equal accuracy is a dominated one."""
    worse = [(cost + data.draw(INTEGER), accuracy - data.draw(ACCURACY)) for cost, accuracy in a]
    tied = [(cost, accuracy - 0.1) for cost, accuracy in a] + [(cost + 1, accuracy) for cost, accuracy in a]
    broken = [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (2.0, math.inf)]
    before = gain(columns(a), columns(b), **reading._asdict())
    more = data.draw(st.permutations(a + worse + tied + broken + a))
    assert gain(columns(more), columns(b), **reading._asdict()) == pytest.approx(before, nan_ok=True)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@given(sets_of(INTEGER), sets_of(INTEGER))
def test_a_maximised_cost_integrates_over_its_own_values(interpolation: Interpolation, a: Points, b: Points) -> None:
    """A throughput of x is attained by the best of the points that yield at least x."""
    left, right = ([(-cost, accuracy) for cost, accuracy in points] for points in (a, b))
    expected = reference.gain(left, right, steps=steps_between(left, right), value=VALUE[interpolation])
    found = gain(columns(a), columns(b), scale="linear", interpolation=interpolation, maximise_cost=True)
    assert agrees(found.value, expected)
    assert math.isnan(found.value) or 0 < found.low < found.high


@pytest.mark.parametrize(
    ("a", "b", "scale", "expected"),
    [
        # A constant lead of 0.2 on budgets 1..3.
        ([(1, 0.3), (3, 0.7)], [(1, 0.1), (3, 0.5)], "linear", (0.2, 1, 3)),
        # A starts level and ends 0.4 ahead; the common budgets are 2..4: mean lead 0.2.
        ([(1, 0.0), (2, 0.2), (4, 0.8)], [(2, 0.2), (4, 0.4), (9, 0.5)], "linear", (0.2, 2, 4)),
        # The same curves over 1..4 weigh the cheap half more in log2: lead 0 up to 2, then to 0.4 at 4.
        ([(1, 0.1), (2, 0.2), (4, 0.8)], [(1, 0.1), (2, 0.2), (4, 0.4)], "linear", (0.4 / 3, 1, 4)),
        ([(1, 0.1), (2, 0.2), (4, 0.8)], [(1, 0.1), (2, 0.2), (4, 0.4)], "log2", (0.1, 1, 4)),
        # Disjoint budgets, budgets that touch in one point, and a frontier of one point: NA.
        ([(1, 0.1), (2, 0.2)], [(3, 0.1), (4, 0.2)], "linear", None),
        ([(1, 0.1), (2, 0.2)], [(2, 0.1), (4, 0.2)], "linear", None),
        ([(2, 0.3)], [(1, 0.1), (4, 0.2)], "linear", None),
        ([], [(1, 0.1), (4, 0.2)], "log2", None),
    ],
)
def test_hand_computed_gains(a: Points, b: Points, scale: str, expected: tuple[float, ...] | None) -> None:
    found = gain(columns(a), columns(b), scale="log2" if scale == "log2" else "linear", interpolation="linear")
    assert found == pytest.approx(expected or (math.nan,) * 3, nan_ok=True)


def test_a_staircase_holds_what_was_attained() -> None:
    """A has nothing between 1 and 4: a straight line would give it 0.4 at 2, where it has 0.2."""
    a: Points = [(1, 0.2), (4, 0.8)]
    b: Points = [(1, 0.3), (2, 0.5), (4, 0.6)]
    found = gain(columns(a), columns(b), scale="linear")
    assert found == pytest.approx((((0.2 - 0.3) * 1 + (0.2 - 0.5) * 2) / 3, 1, 4))
    assert gain(columns(a), columns(b)).value == pytest.approx(((0.2 - 0.3) + (0.2 - 0.5)) / 2)
    # Throughput: the same numbers read from the right.
    fast = gain(([4, 1], [0.2, 0.8]), ([4, 2, 1], [0.3, 0.5, 0.6]), scale="linear", maximise_cost=True)
    assert fast == pytest.approx((((0.2 - 0.3) * 2 + (0.2 - 0.5) * 1) / 3, 1, 4))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown interpolation 'cubic': choose from step, linear"):
        gain(([1], [0.1]), ([1], [0.1]), interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="permutations must be at least 1"):
        gains(outcomes_table({"vanilla": [1.0], "dms": [4.0]}, problems=2), permutations=0)
    with pytest.raises(ValueError, match="costs above 0"):
        gain(([0, 1], [0.1, 0.2]), ([1, 2], [0.1, 0.2]), scale="log2")
    with pytest.raises(ValueError, match="one accuracy for each cost"):
        gain(([1, 2], [0.1]), ([1, 2], [0.1, 0.2]))
    with pytest.raises(ValueError, match="unknown budget scale 'log'"):
        gain(([1], [0.1]), ([1], [0.1]), scale="log")  # type: ignore[arg-type]
    outcomes = outcomes_table({"vanilla": [1.0], "dms": [4.0]}, problems=2)
    with pytest.raises(ValueError, match="unknown cost axis 'reads'"):
        gains(outcomes, axes=["reads"])
    with pytest.raises(ValueError, match="no outcomes of backend 'tova': there are dms, vanilla"):
        gains(outcomes, pairs=[("tova", "vanilla")])
    with pytest.raises(ValueError, match="name a problem twice"):
        gains(pd.concat([outcomes, outcomes.iloc[:1]]))
    with pytest.raises(ValueError, match="lacks the columns seconds"):
        gains(outcomes.drop(columns="seconds"))
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        gains(outcomes, resamples=0)
