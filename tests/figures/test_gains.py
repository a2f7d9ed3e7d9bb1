"""The figure of gains: every pair over vanilla, its interval, and the gain of equals beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hyperscale.analysis.gain import gains
from hyperscale.figures import style
from hyperscale.figures.data import FigureData, load
from hyperscale.figures.gains import draw
from tests.analysis.synthetic import outcomes_table, points_table
from tests.figures.pages import check_layout, marked, panel, words

BACKENDS = {"vanilla": [1.0], "dms": [4.0, 8.0], "a-policy-of-somebody-else": [4.0]}


@pytest.fixture
def data(tmp_path: Path) -> FigureData:
    points_table(BACKENDS).to_parquet(tmp_path / "points.parquet")
    gains(outcomes_table(BACKENDS), resamples=50, permutations=10).to_parquet(tmp_path / "gains.parquet")
    [found] = load(tmp_path)
    return found


def test_every_gain_over_vanilla_stands_beside_its_null(data: FigureData) -> None:
    page = draw(data)
    check_layout(page)
    for axis in ("kv_reads", "peak_tokens", "throughput"):
        table = data.gains[(data.gains["task"] == "gsm8k") & (data.gains["axis"] == axis)]
        table = table[(table["baseline"] == "vanilla") & table["gain"].notna()]
        chosen = table[(table["interpolation"] == "step") & (table["scale"] == "log2")]
        assert len(chosen)
        axes = panel(page, "gsm8k", axis)
        for gid, column in (("gain", "gain"), ("null", "gain_null")):
            assert sorted(x for x, _ in marked(axes, gid)) == pytest.approx(sorted(100 * chosen[column]))
        assert len(marked(axes, "reading")) == 3 * len(chosen)
    assert "DMS over Vanilla" in words(page)
    assert "a-policy-of-somebody-else over Vanilla" in words(page)
    assert "DMS over a-policy" not in words(page)


def test_a_pair_without_a_common_budget_says_so(data: FigureData) -> None:
    none = data.gains["axis"] == "kv_reads"
    apart = data.gains.assign(gain=data.gains["gain"].mask(none))
    page = draw(data._replace(gains=apart))
    assert words(page).count("no common budget") == 2 * 2
    check_layout(page)


def test_without_vanilla_all_pairs_are_drawn_and_without_gains_none(data: FigureData) -> None:
    rest = data.gains[data.gains["baseline"] != "vanilla"]
    assert "a-policy-of-somebody-else over DMS" in words(draw(data._replace(gains=rest)))
    page = draw(data._replace(gains=pd.DataFrame(columns=data.gains.columns)))
    assert words(page).count("no gain") == 2 * 3
    assert style.looks(["dms"])["dms"].title not in words(page)
