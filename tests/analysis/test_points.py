from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from hyperscale.analysis.points import TaskPlan, mean_interval, points
from hyperscale.results.schema import OUTCOMES, arrow_schema


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

    monkeypatch.setattr("hyperscale.analysis.points._bootstrap", bootstrap)
    assert mean_interval([0.0, 1.0]) == (0.5, 0.5, 0.7)
    assert methods == ["BCa", "percentile"]


def outcome_rows(count: int = 4, **changes: Any) -> pd.DataFrame:
    rows = []
    for problem in range(count):
        row: dict[str, Any] = {column.name: 1.0 + problem for column in OUTCOMES}
        row |= {"model": "m", "task": "t", "backend": "vanilla", "compression_ratio": 1.0, "width": 2, "length": 64}
        row |= {"problem_id": f"p{problem}", "accuracy": problem / count, "tied": 0.25, "pool": 8}
        row |= {"engine": "torch", "accounting": "measured", "timing": "latency"}
        rows.append(row | changes)
    return pd.DataFrame(rows)


def plans(**changes: Any) -> dict[str, TaskPlan]:
    return {"t": TaskPlan("majority", 0.25, 4, False)._replace(**changes)}


def test_a_point_is_the_mean_over_problems() -> None:
    frame = points(outcome_rows(), plans(), {64: 8})
    [point] = frame.to_dict("records")
    assert list(frame.columns) == arrow_schema("points").names
    for name in ("kv_reads", "peak_tokens", "peak_bytes", "mean_length", "realised_ratio", "batch_threads"):
        assert point[name] == 2.5, name
    assert (point["accuracy"], point["tied_share"], point["chance"]) == (0.375, 0.25, 0.25)
    assert (point["accuracy_low"], point["accuracy_high"]) == mean_interval([0, 0.25, 0.5, 0.75])[1:]
    assert point["throughput"] == 60 / 2.5
    assert point["roofline_share"] == 1.0
    assert (point["device_bytes"], point["engine"], point["accounting"]) == (4.0, "torch", "measured")
    assert (point["problems"], point["samples"], point["complete"]) == (4, 32, True)
    assert (point["width"], point["length"], point["aggregate"]) == (2, 64, "majority")


def test_every_width_length_and_backend_is_its_own_point() -> None:
    parts = [
        outcome_rows(width=width, length=length, backend=backend)
        for width in (1, 2)
        for length in (32, 64)
        for backend in ("vanilla", "dms")
    ]
    frame = points(pd.concat(parts), plans(), {32: 8, 64: 8})
    assert len(frame) == 8
    assert not frame.duplicated(["width", "length", "backend"]).any()
    assert frame[["accuracy_low", "accuracy_high"]].drop_duplicates().shape[0] == 1


def test_the_roofline_share_is_that_of_the_throughput() -> None:
    """Three problems that took 2, 4 and 6 seconds where 1, 1 and 2 were the least: 4 of 12."""
    rows = outcome_rows(3).assign(seconds=[2.0, 4.0, 6.0], roofline_seconds=[1.0, 1.0, 2.0])
    [point] = points(rows, plans(problems=3), {64: 8}).to_dict("records")
    least = 60 / np.mean([1.0, 1.0, 2.0])
    assert point["roofline_share"] == pytest.approx(4 / 12)
    assert point["roofline_share"] == pytest.approx(point["throughput"] / least)
    [unknown] = points(rows.assign(roofline_seconds=[1.0, np.nan, 2.0]), plans(problems=3), {64: 8}).to_dict("records")
    assert np.isnan(unknown["roofline_share"])


def test_an_accounting_is_as_exact_as_its_least() -> None:
    kinds = pd.Series(["measured", "from_text", "from_lengths", "measured"])
    [point] = points(outcome_rows(4).assign(accounting=kinds), plans(), {64: 8}).to_dict("records")
    assert point["accounting"] == "from_text"


@pytest.mark.parametrize(
    ("rows", "plan", "pool"),
    [
        ({"count": 3}, {}, 8),
        ({}, {"partial": True}, 8),
        ({"pool": 7}, {}, 8),
    ],
)
def test_missing_problems_threads_or_a_cut_task_make_a_point_incomplete(rows: Any, plan: Any, pool: int) -> None:
    assert points(outcome_rows(), plans(), {64: 8})["complete"].tolist() == [True]
    assert points(outcome_rows(**rows), plans(**plan), {64: pool})["complete"].tolist() == [False]


def test_what_was_not_measured_is_null() -> None:
    rows = outcome_rows(seconds=0.0, tied=np.nan)
    rows.loc[0, "realised_ratio"] = np.nan
    [point] = points(rows, plans(aggregate="pass"), {64: 8}).to_dict("records")
    assert np.isnan(point["throughput"])
    assert np.isnan(point["tied_share"])
    assert point["realised_ratio"] == 3.0


def test_no_outcomes_no_points() -> None:
    frame = points(outcome_rows(0).reindex(columns=arrow_schema("outcomes").names), plans(), {})
    assert frame.empty
    assert list(frame.columns) == arrow_schema("points").names
