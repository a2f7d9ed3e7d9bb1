from __future__ import annotations

import math
import warnings

import moocore
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.analysis.pareto import AXES, frontier, frontiers, quarantined
from hyperscale.results.schema import FRONTIERS
from tests.analysis.synthetic import points_table
from tests.reference import frontier as reference

NUMBER = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0])
ODD = st.one_of(NUMBER, st.floats(allow_nan=True, allow_infinity=True))


def columns(points: list[reference.Point]) -> tuple[list[float], list[float]]:
    return [cost for cost, _ in points], [accuracy for _, accuracy in points]


@given(st.lists(st.tuples(ODD, ODD), max_size=12))
def test_frontier_is_the_set_of_undominated_points(points: list[reference.Point]) -> None:
    assert frontier(*columns(points)) == reference.frontier(points)


@given(st.lists(st.tuples(ODD, ODD), max_size=12))
def test_a_maximised_cost_is_a_minimised_negative(points: list[reference.Point]) -> None:
    mirrored = [(-cost, accuracy) for cost, accuracy in points]
    costs, accuracies = columns(points)
    assert frontier(costs, accuracies, maximise_cost=True) == reference.frontier(mirrored)[::-1]


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=12))
def test_frontier_agrees_with_moocore(points: list[reference.Point]) -> None:
    mask = moocore.is_nondominated(np.array(points), maximise=[False, True], keep_weakly=False)
    chosen = {points[i] for i in frontier(*columns(points))}
    assert chosen == {points[i] for i in np.flatnonzero(mask)}


@given(st.lists(st.tuples(ODD, ODD), max_size=12))
def test_quarantine_and_frontier_are_apart(points: list[reference.Point]) -> None:
    costs, accuracies = columns(points)
    bad = quarantined(costs, accuracies)
    assert bad == [i for i, p in enumerate(points) if not all(map(math.isfinite, p))]
    assert not set(bad) & set(frontier(costs, accuracies))


@pytest.mark.parametrize(
    ("costs", "accuracies", "expected"),
    [
        ([], [], []),
        ([5.0], [0.0], [0]),
        ([1, 1, 1], [0.2, 0.9, 0.5], [1]),
        ([1, 1, 2, 2], [0.5, 0.5, 0.7, 0.7], [0, 2]),
        ([3, 2, 1], [0.9, 0.9, 0.1], [2, 1]),
        ([1, math.nan, 3], [0.1, 0.9, math.nan], [0]),
        ([math.nan], [0.5], []),
        ([-math.inf, 1], [1.0, 0.5], [1]),
    ],
)
def test_hand_made_frontiers(costs: list[float], accuracies: list[float], expected: list[int]) -> None:
    assert frontier(costs, accuracies) == expected


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one accuracy for each cost"):
        frontier([1, 2], [0.5])


def test_frontiers_table_pools_widths_lengths_and_ratios() -> None:
    points = points_table({"vanilla": [1.0], "dms": [4.0, 8.0]})
    table = frontiers(points)
    assert list(table.columns) == [column.name for column in FRONTIERS]
    for (task, backend, axis), rows in table.groupby(["task", "backend", "axis"]):
        pool = points[(points["task"] == task) & (points["backend"] == backend)]
        sign = -1 if axis == "throughput" else 1
        pairs = list(zip(sign * pool[axis], pool["accuracy"], strict=True))
        expected = [(sign * pairs[i][0], pairs[i][1]) for i in reference.frontier(pairs)]
        assert list(zip(rows["cost"], rows["accuracy"], strict=True)) == expected[::sign]
    assert set(table["axis"]) == set(AXES)
    assert set(table.loc[table["backend"] == "dms", "compression_ratio"]) == {4.0, 8.0}


def test_frontiers_warn_of_points_that_are_not_finite() -> None:
    points = points_table({"vanilla": [1.0]}, tasks=("gsm8k",))
    points.loc[0, "throughput"] = math.inf
    with pytest.warns(UserWarning, match="1 of 12 points of vanilla on gsm8k .* throughput"):
        table = frontiers(points)
    assert np.isfinite(table["cost"]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frontiers(points.drop(index=0))


def test_points_that_some_prompt_does_not_fit_are_on_no_frontier() -> None:
    points = points_table({"vanilla": [1.0], "dms": [4.0]}, tasks=("gsm8k",))
    # The shortest L reads nothing: it would be the cheapest point of every frontier.
    unfit = points["length"] == 128
    filled = points.assign(prompts_fit=np.where(unfit, 0.9, 1.0), kv_reads=points["kv_reads"].where(~unfit, 0))
    pd.testing.assert_frame_equal(frontiers(filled), frontiers(points[~unfit]))
    assert frontiers(points.assign(prompts_fit=0.5)).empty


def test_frontiers_of_nothing_is_an_empty_table() -> None:
    empty = frontiers(points_table({"vanilla": [1.0]}).iloc[:0])
    assert empty.empty
    assert list(empty.columns) == [column.name for column in FRONTIERS]


def test_a_table_without_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the columns peak_bytes"):
        frontiers(points_table({"vanilla": [1.0]}).drop(columns="peak_bytes"))
    with pytest.raises(ValueError, match="points table lacks"):
        frontiers(pd.DataFrame())
