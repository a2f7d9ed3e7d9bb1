from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hyperscale.analysis.intervals import mean_interval
from hyperscale.analysis.points import TaskPlan, points
from hyperscale.results.schema import OUTCOMES, arrow_schema


def outcome_rows(count: int = 4, **changes: Any) -> pd.DataFrame:
    rows = []
    for problem in range(count):
        row: dict[str, Any] = {column.name: 1.0 + problem for column in OUTCOMES}
        row |= {"model": "m", "task": "t", "backend": "vanilla", "compression_ratio": 1.0, "width": 2, "length": 64}
        row |= {"problem_id": f"p{problem}", "accuracy": problem / count, "tied": 0.25, "pool": 8}
        row |= {"engine": "torch", "accounting": "measured", "timing": "latency", "prompt_fits": True}
        rows.append(row | changes)
    return pd.DataFrame(rows)


def plans(**changes: Any) -> dict[str, TaskPlan]:
    return {"t": TaskPlan("majority", 0.25, 4, False)._replace(**changes)}


def test_a_point_is_the_mean_over_problems() -> None:
    frame = points(outcome_rows(), plans(), {64: 8})
    [point] = frame.to_dict("records")
    assert list(frame.columns) == arrow_schema("points").names
    peaks = ("peak_tokens", "peak_tokens_sum", "peak_bytes", "peak_bytes_sum")
    for name in ("kv_reads", *peaks, "mean_length", "realised_ratio", "batch_threads"):
        assert point[name] == 2.5, name
    assert (point["accuracy"], point["tied_share"], point["chance"]) == (0.375, 0.25, 0.25)
    interval = [point[name] for name in ("accuracy_low", "accuracy_high", "standard_error")]
    assert interval == list(mean_interval([0, 0.25, 0.5, 0.75])[1:])
    assert (point["prompts_fit"], point["draws"]) == (1, 28)
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


def test_a_point_says_which_share_of_prompts_fits_its_length() -> None:
    rows = outcome_rows().assign(prompt_fits=[True, False, True, True])
    assert points(rows, plans(), {64: 8})["prompts_fit"].tolist() == [0.75]


def test_a_point_says_how_many_subsets_its_votes_average() -> None:
    def draws(width: int, *pools: int) -> int:
        rows = outcome_rows(len(pools), width=width).assign(pool=pools)
        [found] = points(rows, plans(problems=len(pools)), {64: 8})["draws"]
        return int(found)

    assert [draws(width, 8, 8) for width in (1, 2, 8)] == [8, 28, 1]
    assert draws(8, 16, 16) == 1000
    assert draws(4, 16, 5) == 5


def test_no_outcomes_no_points() -> None:
    frame = points(outcome_rows(0).reindex(columns=arrow_schema("outcomes").names), plans(), {})
    assert frame.empty
    assert list(frame.columns) == arrow_schema("points").names
