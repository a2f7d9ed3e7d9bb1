"""Seconds of outcomes from a made-up latency table, against the definition in a plain loop."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.analysis.surface import RunLatency, Surface
from hyperscale.analysis.throughput import Latencies, RunKey, timed
from hyperscale.results.rows import frame_to_arrow
from hyperscale.results.schema import OUTCOMES

Cells = dict[tuple[int, int], float]


def slow(cells: Cells, batch: float, context: float) -> float:
    """Straight lines, one after the other, looked up one by one."""

    def line(x: float, points: list[tuple[float, float]]) -> float:
        for (x0, y0), (x1, y1) in pairwise(points):
            if x0 <= x <= x1:
                return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        return points[0][1] if x < points[0][0] else points[-1][1]

    by_context = {}
    for at in sorted({c for _, c in cells}):
        points = sorted((float(b), value) for (b, c), value in cells.items() if c == at)
        if batch > points[-1][0] and len(points) > 1:
            (b0, y0), (b1, y1) = points[-2:]
            by_context[at] = y1 + max(0.0, (y1 - y0) / (b1 - b0)) * (batch - b1)
        else:
            by_context[at] = line(batch, points)
    return line(context, [(float(at), value) for at, value in by_context.items()])


values = st.floats(1e-4, 10)
grids = st.dictionaries(st.tuples(st.integers(1, 40), st.integers(1, 60)), values, min_size=1, max_size=12)


@given(cells=grids, batch=st.integers(1, 60), context=st.integers(1, 80))
@settings(deadline=None)
def test_a_surface_is_exact_where_measured_and_straight_between(cells: Cells, batch: int, context: int) -> None:
    surface = Surface([(b, c, value) for (b, c), value in cells.items()])
    for (b, c), value in cells.items():
        assert surface.at(b, np.array([c]))[0] == pytest.approx(value)
    assert surface.at(batch, np.array([context]))[0] == pytest.approx(slow(cells, batch, context))


def table(decode: Cells, prefill: Cells, **fields: Any) -> pd.DataFrame:
    rows = []
    for kind, cells in (("decode", decode), ("prefill", prefill)):
        for (batch, context), seconds in cells.items():
            rows.append(
                {"kind": kind, "batch": batch, "context": context, "seconds": seconds, "roofline_seconds": seconds / 3}
            )
    return pd.DataFrame(rows).assign(memory_budget=1000, max_batch=50, **fields)


DECODE: Cells = {(1, 8): 1.0, (20, 8): 5.0, (1, 64): 2.0, (20, 64): 9.0, (20, 32): 6.5}
PREFILL: Cells = {(1, 8): 0.5, (1, 40): 4.0}


def outcome(**fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {column.name: 1.0 for column in OUTCOMES}
    row |= {"model": "m", "task": "t", "backend": "vanilla", "compression_ratio": 1.0, "problem_id": "p"}
    row |= {"engine": "torch", "accounting": "measured", "timing": None, "seconds": math.nan, "max_threads": math.nan}
    return row | fields


def thread(index: int, generated: int, **fields: Any) -> dict[str, Any]:
    row = {"model": "m", "task": "t", "backend": "vanilla", "compression_ratio": 1.0, "cache_budget": math.nan}
    row |= {"problem_id": "p", "thread": index, "length_cap": 64, "prompt_tokens": 10, "generated_tokens": generated}
    return row | fields


def fit(budget: int, most: int, prompt: int, width: int, length: int) -> int:
    assert (budget, most) == (1000, 50)
    return min(most, (budget + prompt + width) // length)


VANILLA, TOVA = RunKey("m", "vanilla", 1.0, None), RunKey("m", "tova", None, 16)


def latencies(*keys: RunKey, fits: bool = True) -> Latencies:
    surfaces = {key: RunLatency(table(DECODE, PREFILL)) for key in keys}
    return Latencies(surfaces, dict.fromkeys(keys, fit) if fits else {})


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("length", [16, 32, 64])
def test_seconds_are_the_prefill_and_each_threads_share_of_its_steps(width: int, length: int) -> None:
    generated = [3, 54, 20, 11]
    samples = pd.DataFrame([thread(i, count, length_cap=64 if i else 32) for i, count in enumerate(generated)])
    [row] = timed(pd.DataFrame([outcome(width=width, length=length)]), samples, latencies(VANILLA)).to_dict("records")
    batch = fit(1000, 50, 10, width, length)
    pool = [count for i, count in enumerate(generated) if (64 if i else 32) >= length]
    shares = [
        sum(slow(DECODE, batch, context) / batch for context in range(11, min(10 + count, length) + 1))
        for count in pool
    ]
    expected = slow(PREFILL, 1, 10) + width * sum(shares) / len(shares)
    assert row["seconds"] == pytest.approx(expected)
    assert row["roofline_seconds"] == pytest.approx(expected / 3)
    assert (row["max_threads"], row["timing"], row["as_run_seconds"]) == (batch, "latency", 1.0)


def test_a_bound_run_is_found_by_its_budget() -> None:
    samples = pd.DataFrame([thread(0, 20, backend="tova", compression_ratio=math.nan, cache_budget=16.0)])
    rows = [outcome(backend="tova", compression_ratio=ratio, length=length) for ratio, length in ((2, 32), (4, 64))]
    found = timed(
        pd.DataFrame([*rows, outcome(backend="tova", compression_ratio=4.0, length=32)]), samples, latencies(TOVA)
    )
    assert found["timing"].tolist() == ["latency", "latency", None]
    assert found["seconds"].isna().tolist() == [False, False, True]


def test_what_was_not_measured_has_no_seconds_and_other_engines_their_own() -> None:
    samples = pd.DataFrame([thread(0, 20), thread(0, 20, task="other")])
    rows = [outcome(length=128, width=1), outcome(engine="vllm", task="other", length=32), outcome(backend="h2o")]
    found = timed(pd.DataFrame(rows), samples, latencies(TOVA))
    assert found["timing"].tolist() == [None, "as_run", None]
    assert found["seconds"].tolist()[1] == 1.0
    assert found["seconds"].isna().tolist() == [True, False, True]
    # An L beyond what was measured.
    assert timed(pd.DataFrame(rows[:1]), samples, latencies(VANILLA))["timing"].tolist() == [None]


def test_no_room_takes_no_time_and_no_memory_makes_no_throughput() -> None:
    samples = pd.DataFrame([thread(0, 0, prompt_tokens=40), thread(1, 0, prompt_tokens=40)])
    [row] = timed(pd.DataFrame([outcome(width=1, length=32)]), samples, latencies(VANILLA)).to_dict("records")
    assert (row["seconds"], row["timing"]) == (0.0, "latency")
    nothing = Latencies(latencies(VANILLA).surfaces, {VANILLA: lambda *_: 0})
    samples = pd.DataFrame([thread(0, 5)])
    [row] = timed(pd.DataFrame([outcome(width=1, length=32)]), samples, nothing).to_dict("records")
    assert math.isnan(row["seconds"])


def test_outcomes_of_a_run_outside_the_plan_stay_as_they_are() -> None:
    rows = [outcome(width=1, length=32, seconds=7.0, max_threads=3, timing="latency", roofline_seconds=2.0)]
    kept = timed(pd.DataFrame(rows), pd.DataFrame([thread(0, 20)]), latencies(VANILLA, fits=False))
    assert kept[["seconds", "max_threads", "timing", "roofline_seconds"]].to_numpy().tolist() == [
        [7.0, 3, "latency", 2.0]
    ]


def test_timed_outcomes_fit_the_schema() -> None:
    rows = [outcome(width=1, length=32), outcome(backend="h2o")]
    found = timed(pd.DataFrame(rows), pd.DataFrame([thread(0, 20)]), latencies(VANILLA))
    back = frame_to_arrow("outcomes", found[[column.name for column in OUTCOMES]]).to_pylist()
    assert [row["max_threads"] for row in back] == [31, None]
