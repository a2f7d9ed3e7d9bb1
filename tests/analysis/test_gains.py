from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hyperscale.analysis.curves import READINGS, Reading
from hyperscale.analysis.gain import gains, resample_counts
from hyperscale.analysis.pareto import AXES, frontiers
from hyperscale.results.schema import GAINS, arrow_schema
from tests.analysis.synthetic import outcomes_table, points_table
from tests.reference import frontier as reference

Points = list[reference.Point]


def slow_points(outcomes: pd.DataFrame, backend: str, drawn: list[str], column: str) -> Points:
    """(mean cost, mean accuracy) of each point over a list of drawn problems, problem by problem."""
    points = []
    for _, rows in outcomes[outcomes["backend"] == backend].groupby(["compression_ratio", "width", "length"]):
        costs = dict(zip(rows["problem_id"], rows[column].astype(float), strict=True))
        accuracies = dict(zip(rows["problem_id"], rows["accuracy"].astype(float), strict=True))
        points.append((sum(costs[p] for p in drawn) / len(drawn), sum(accuracies[p] for p in drawn) / len(drawn)))
    return points


def slow_gain(
    outcomes: pd.DataFrame, drawn: list[str], axis: str, reading: Reading, within: tuple[float, float] | None = None
) -> float | None:
    """Gain of dms over vanilla on the drawn problems."""
    column = "seconds" if axis == "throughput" else axis
    a, b = (slow_points(outcomes, backend, drawn, column) for backend in ("dms", "vanilla"))
    sign = 1
    if axis == "throughput":
        # More throughput is better: its negative is a cost, in log2 as in linear scale.
        a, b = ([(-60 / seconds, accuracy) for seconds, accuracy in side] for side in (a, b))
        sign = -1
    scale = (lambda x: sign * math.log2(sign * x)) if reading.scale == "log2" else float
    ends = None if within is None else sorted(scale(sign * budget) for budget in within)
    value = reference.attained_at if reading.interpolation == "step" else reference.value_at
    return reference.gain(a, b, scale, value=value, within=None if ends is None else (ends[0], ends[1]))


@pytest.mark.parametrize("axis", ["kv_reads", "throughput"])
@pytest.mark.parametrize("reading", READINGS)
def test_bootstrap_is_paired_and_resamples_problems_on_the_estimates_budgets(axis: str, reading: Reading) -> None:
    outcomes = outcomes_table({"vanilla": [1.0], "dms": [4.0]}, tasks=("gsm8k",), widths=(1, 4), problems=7, seed=3)
    table = gains(outcomes, axes=[axis], resamples=9, seed=5)
    row = table[(table["scale"] == reading.scale) & (table["interpolation"] == reading.interpolation)].iloc[0]
    names = [f"p{n:03}" for n in range(7)]
    estimate = slow_gain(outcomes, names, axis, reading)
    assert estimate is not None
    assert row["gain"] == pytest.approx(estimate, abs=5e-3)
    values = []
    for counts in resample_counts(7, 9, seed=5):
        drawn = [name for name, count in zip(names, counts, strict=True) for _ in range(int(count))]
        value = slow_gain(outcomes, drawn, axis, reading, (row["budget_low"], row["budget_high"]))
        assert value is not None
        values.append(value)
    assert row["resamples_kept"] == 1
    expected = np.percentile(values, [2.5, 97.5])
    assert [row["gain_low"], row["gain_high"]] == pytest.approx(expected, abs=5e-3)


def test_a_resample_draws_as_many_problems_as_there_are_each_alike() -> None:
    counts = resample_counts(5, 4000, seed=1)
    assert counts.shape == (4000, 5)
    assert (counts.sum(axis=1) == 5).all()
    # A problem's count is binomial(5, 1/5): mean 1, variance 4/5, standard error of the mean 0.014.
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.08)
    assert counts.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.1)
    assert (counts == resample_counts(5, 4000, seed=1)).all()
    assert (counts != resample_counts(5, 4000, seed=2)).any()


def steep(problems: int, solved: pd.Series, outcomes: pd.DataFrame) -> pd.DataFrame:
    return outcomes.assign(accuracy=solved.astype(float), kv_reads=outcomes["length"].astype(float))


def test_a_resample_whose_frontier_ends_early_still_covers_the_estimates_budgets() -> None:
    """One problem of ten is solved, at the dearer point: without it a frontier is a point, and its gain over equals 0.

    On the few budgets that such resamples shared by themselves, nothing was left to average.
    """
    outcomes = outcomes_table(
        {"vanilla": [1.0], "dms": [2.0]}, problems=10, tasks=("t",), widths=(1,), lengths=(512, 2048)
    )
    solved = (outcomes["length"] == 2048) & (outcomes["problem_id"] == "p000")
    table = gains(steep(10, solved, outcomes), axes=["kv_reads"], resamples=200)
    assert (table["resamples_kept"] == 1).all()
    assert table[["gain", "gain_low", "gain_high"]].to_numpy() == pytest.approx(0)


def test_a_gain_on_moving_budgets_has_the_interval_of_its_own_budgets() -> None:
    """DMS leads by 0.2 throughout. Where its frontier ends, and with it the common budgets, a coin decides.

    Its lead there is 0.8 on the dear side: resamples that end early used to report the cheap side alone.
    """
    outcomes = outcomes_table(
        {"vanilla": [1.0], "dms": [2.0]}, problems=40, tasks=("t",), widths=(1,), lengths=(64, 512, 2048)
    )
    rank = outcomes["problem_id"].str[1:].astype(int)
    dms, length = outcomes["backend"] == "dms", outcomes["length"]
    # Of DMS 36 problems at L = 512 and 37 at 2048; of vanilla 20 at 64 and more, 32 at 2048.
    most = np.select([dms & (length == 64), dms & (length == 512), dms], [24, 36, 36], np.where(length < 2048, 20, 32))
    solved = (rank < most) | (dms & (length == 2048) & (rank == 39))
    table = gains(steep(40, solved, outcomes), axes=["kv_reads"], resamples=400)
    for row in table.to_dict("records"):
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
        assert row["gain_high"] - row["gain"] < 0.25
        assert row["resamples_kept"] == 1


def test_an_interval_is_missing_where_resamples_do_not_cover_the_estimates_budgets() -> None:
    """The cheapest point of DMS costs a hundred times more in one problem of ten: its frontier begins anywhere."""
    outcomes = outcomes_table(
        {"vanilla": [1.0], "dms": [2.0]}, problems=10, tasks=("t",), widths=(1,), lengths=(512, 2048)
    )
    dms = outcomes["backend"] == "dms"
    reads = outcomes["length"] * np.where(dms & (outcomes["problem_id"] == "p000"), 30.0, 1.0)
    moved = outcomes.assign(accuracy=outcomes["length"] / 2048, kv_reads=reads.where(dms, reads * 3.0))
    table = gains(moved, axes=["kv_reads"], resamples=200)
    assert table["gain"].notna().all()
    assert (table["resamples_kept"] < 0.9).all()
    assert table[["gain_low", "gain_high"]].isna().all(axis=None)


def test_gains_table_names_every_pair_once_with_vanilla_as_the_baseline() -> None:
    outcomes = outcomes_table({"vanilla": [1.0], "tova": [4.0], "dms": [4.0, 8.0]}, problems=6)
    table = gains(outcomes, resamples=50)
    assert list(table.columns) == [column.name for column in GAINS]
    pairs = {("dms", "tova"), ("dms", "vanilla"), ("tova", "vanilla")}
    assert set(zip(table["backend"], table["baseline"], strict=True)) == pairs
    assert len(table) == len(pairs) * 2 * len(AXES) * 4
    defined = table.dropna()
    assert not defined.empty
    assert (defined["gain_low"] <= defined["gain_high"]).all()
    assert (defined["budget_low"] < defined["budget_high"]).all()
    chosen = gains(outcomes, pairs=[("vanilla", "dms")], resamples=50)
    forth = table[(table["backend"] == "dms") & (table["baseline"] == "vanilla")]
    assert chosen["gain"].to_numpy() == pytest.approx(-forth["gain"].to_numpy(), nan_ok=True)
    assert chosen["gain_low"].to_numpy() == pytest.approx(-forth["gain_high"].to_numpy(), nan_ok=True)
    assert chosen["gain_null"].to_numpy() == pytest.approx(-forth["gain_null"].to_numpy(), nan_ok=True)


def test_only_problems_of_every_point_of_both_enter_a_pair() -> None:
    outcomes = outcomes_table({"vanilla": [1.0], "dms": [4.0]}, tasks=("gsm8k",), problems=8)
    lost = (outcomes["backend"] == "dms") & (outcomes["width"] == 2) & (outcomes["problem_id"] == "p003")
    without = outcomes[outcomes["problem_id"] != "p003"]
    pd.testing.assert_frame_equal(gains(outcomes[~lost], resamples=20), gains(without, resamples=20))
    dms, halves = outcomes["backend"] == "dms", outcomes["problem_id"] < "p004"
    apart = gains(outcomes[dms == halves], resamples=20)
    assert apart[["gain", "gain_low", "gain_high", "gain_null", "budget_low"]].isna().all(axis=None)


def test_points_that_some_prompt_does_not_fit_enter_no_gain() -> None:
    outcomes = outcomes_table({"vanilla": [1.0], "dms": [4.0]}, tasks=("gsm8k",), problems=8)
    filled = (outcomes["length"] == 128) & (outcomes["problem_id"] == "p003")
    unfit = outcomes.assign(prompt_fits=~filled, kv_reads=outcomes["kv_reads"].where(~filled, 0))
    kept = outcomes[outcomes["length"] > 128]
    pd.testing.assert_frame_equal(gains(unfit, resamples=20), gains(kept, resamples=20))


def test_intervals_that_cannot_be_known_are_missing() -> None:
    single = outcomes_table({"vanilla": [1.0], "dms": [2.0]}, problems=1, tasks=("t",))
    single["accuracy"] = np.log2(single["width"] * single["length"]) / 20
    one = gains(single, resamples=20)
    assert one["gain"].notna().all()
    assert one[["gain_low", "gain_high", "gain_null", "resamples_kept"]].isna().all(axis=None)
    point = outcomes_table({"vanilla": [1.0], "dms": [2.0]}, widths=(1,), lengths=(512,), tasks=("t",))
    assert gains(point, resamples=20)[["gain", "gain_low"]].isna().all(axis=None)
    alone = gains(outcomes_table({"vanilla": [1.0]}, problems=2), resamples=20)
    assert alone.empty
    assert list(alone.columns) == [column.name for column in GAINS]


def test_gains_are_repeatable_and_do_not_depend_on_row_order() -> None:
    outcomes = outcomes_table({"vanilla": [1.0], "dms": [4.0]}, problems=5)
    shuffled = outcomes.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(gains(outcomes, resamples=30), gains(shuffled, resamples=30))


def test_a_bootstrap_of_a_large_grid_takes_seconds() -> None:
    outcomes = outcomes_table({"vanilla": [1.0], "dms": [4.0, 8.0]}, tasks=("gsm8k",), problems=200)
    start = time.process_time()
    gains(outcomes, resamples=2000)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("backends", [{"vanilla": [1.0]}, {"vanilla": [1.0], "dms": [4.0]}])
def test_tables_fit_their_schema(backends: dict[str, list[float]]) -> None:
    tables = {
        "gains": gains(outcomes_table(backends, problems=3), resamples=10),
        "frontiers": frontiers(points_table(backends, problems=3)),
    }
    for name, frame in tables.items():
        table = pa.Table.from_pandas(frame, schema=arrow_schema(name), preserve_index=False)
        assert table.num_rows == len(frame)
