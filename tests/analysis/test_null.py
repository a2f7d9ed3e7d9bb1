"""The gain of equals: against plain loops, and against what equals gain in fact."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hyperscale.analysis.curves import READINGS, Reading
from hyperscale.analysis.gain import gains
from hyperscale.analysis.null import shuffled_points
from tests.analysis.synthetic import outcomes_table

COLUMNS = ["accuracy", "kv_reads"]


def slow(outcomes: pd.DataFrame, problems: list[str], orders: np.ndarray) -> list[list[float]]:
    """Points by run, W and L after one permutation: `orders[i]` are the runs whose outcomes problem i gives to each."""
    runs = sorted(set(zip(outcomes["backend"], outcomes["compression_ratio"], strict=True)))
    cells = {
        (row["backend"], row["compression_ratio"], row["width"], row["length"], row["problem_id"]): row
        for row in outcomes.to_dict("records")
    }
    made = []
    for label in range(len(runs)):
        for width, length in [(1, 128), (1, 512), (4, 128), (4, 512)]:
            taken = [
                cells[(*runs[order[label]], width, length, problem)]
                for problem, order in zip(problems, orders, strict=True)
            ]
            made.append([sum(row[column] for row in taken) / len(taken) for column in COLUMNS])
    return made


def test_each_problem_gives_each_label_one_runs_outcomes_whole() -> None:
    outcomes = outcomes_table(
        {"dms": [4.0, 8.0], "vanilla": [1.0]}, tasks=("t",), problems=5, widths=(1, 4), lengths=(128, 512)
    )
    # A point that the second run lacks is in none.
    extra = outcomes_table({"dms": [4.0], "vanilla": [1.0]}, tasks=("t",), problems=5, widths=(2,), lengths=(128,))
    both = pd.concat([outcomes, extra]).sample(frac=1, random_state=0)
    dms, vanilla = (both[both["backend"] == name] for name in ("dms", "vanilla"))
    found = shuffled_points(dms, vanilla, COLUMNS, 6, 3)
    assert found is not None
    orders = np.random.default_rng(3).random((6, 5, 3)).argsort(axis=2)
    problems = sorted(set(outcomes["problem_id"]))
    for number, order in enumerate(orders):
        expected = np.array(slow(outcomes, problems, order))
        for at, column in enumerate(COLUMNS):
            assert found.backend[column][number] == pytest.approx(expected[:8, at])
            assert found.baseline[column][number] == pytest.approx(expected[8:, at])


def equals(seed: int, problems: int, runs: dict[str, list[float]]) -> pd.DataFrame:
    """Outcomes of runs that are equals: the same chances and the same distribution of costs."""
    draw = np.random.default_rng(seed)
    frame = outcomes_table(runs, tasks=("t",), problems=problems, widths=(1, 2, 4), lengths=(128, 512))
    skill = draw.normal(0, 1.5, problems)[frame["problem_id"].str[1:].astype(int)]
    skill += 0.5 * np.log2(frame["width"]) + 0.3 * np.log2(frame["length"] / 256)
    correct = draw.random(len(frame)) < 1 / (1 + np.exp(-skill))
    reads = frame["width"] * frame["length"] * draw.uniform(0.5, 1.5, len(frame))
    return frame.assign(accuracy=correct.astype(float), kv_reads=reads)


@pytest.mark.parametrize("reading", [READINGS[1]])
def test_equals_gain_as_much_as_the_null_says(reading: Reading) -> None:
    """Three runs against one: the best of more points is better, though all are alike."""
    gained, null = [], []
    for seed in range(40):
        table = gains(
            equals(seed, 30, {"dms": [2.0, 4.0, 8.0], "vanilla": [1.0]}),
            axes=["kv_reads"], resamples=1, permutations=40,
        )  # fmt: skip
        [row] = table[(table["scale"] == reading.scale) & (table["interpolation"] == reading.interpolation)].to_dict(
            "records"
        )
        gained.append(row["gain"])
        null.append(row["gain_null"])
    error = np.std(gained) / len(gained) ** 0.5
    assert np.mean(gained) > 3 * error, "equals gain by choice alone"
    assert abs(np.mean(gained) - np.mean(null)) < 3 * error
    assert np.std(null) < np.std(gained) / 2


def test_sides_of_as_many_runs_gain_nothing() -> None:
    table = gains(equals(1, 40, {"dms": [4.0], "vanilla": [1.0]}), axes=["kv_reads"], resamples=1, permutations=400)
    assert table["gain_null"].abs().max() < 0.02


def test_there_is_no_null_without_shared_points_or_with_one_problem() -> None:
    apart = pd.concat([
        outcomes_table({"dms": [4.0]}, tasks=("t",), widths=(1, 2)),
        outcomes_table({"vanilla": [1.0]}, tasks=("t",), widths=(4, 8)),
    ])  # fmt: skip
    assert gains(apart, resamples=5)["gain_null"].isna().all()
    one = outcomes_table({"dms": [4.0], "vanilla": [1.0]}, tasks=("t",), problems=1)
    assert gains(one, resamples=5)["gain_null"].isna().all()
