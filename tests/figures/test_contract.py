"""The contract of a figure, which every registered one inherits: it draws any folder, whole, and leaves it alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hyperscale.figures import FIGURES, style
from hyperscale.figures.data import FigureData, load
from tests.analysis.synthetic import points_table
from tests.figures.pages import check_layout, visible_texts

TINY = Path(__file__).parents[2] / "results" / "tiny"


def one_point(folder: Path) -> Path:
    pd.read_parquet(TINY / "points.parquet").iloc[:1].to_parquet(folder / "points.parquet")
    return folder


def long_words(folder: Path) -> Path:
    points = points_table(
        {"vanilla": [1.0], "a-policy-of-somebody-else": [2.0, 3.5]}, tasks=("a_task_with_a_long_name",)
    )
    points.assign(model="an-organisation/a-model-with-a-name-of-many-parts-7b-instruct").to_parquet(
        folder / "points.parquet"
    )
    return folder


FOLDERS = {"tiny": lambda _: TINY, "one point": one_point, "long words": long_words}


def draw(name: str, data: FigureData) -> Figure:
    with matplotlib.rc_context(style.RC):
        return FIGURES.load(name)(data)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", FIGURES.names())
def test_a_figure_is_drawn_whole_and_leaves_the_points_alone(name: str, folder: str, tmp_path: Path) -> None:
    (data,) = load(FOLDERS[folder](tmp_path))
    before = data.points.copy(deep=True)
    page = draw(name, data)
    assert isinstance(page, Figure)
    assert page.axes
    pd.testing.assert_frame_equal(data.points, before)
    check_layout(page)
    words = " ".join(" ".join(text.get_text().split()) for text in visible_texts(page))
    assert all(title in words for title in data.titles.values())


@pytest.mark.parametrize("name", FIGURES.names())
def test_a_figure_does_not_depend_on_the_order_of_points(name: str) -> None:
    points = points_table({"vanilla": [1.0], "dms": [4.0, 8.0]}, tasks=("gsm8k", "math500"))
    data = FigureData("org/model", points, {"gsm8k": "GSM8K", "math500": "MATH-500"}, "greedy")
    shuffled = data._replace(points=points.sample(frac=1, random_state=1).reset_index(drop=True))
    texts = [
        sorted((text.get_text(), *np.round(text.get_window_extent().extents, 2)) for text in visible_texts(page))
        for page in (draw(name, data), draw(name, shuffled))
    ]
    assert texts[0] == texts[1]


def test_the_check_sees_what_overlaps_and_what_is_cut_off() -> None:
    page = Figure(figsize=(4, 3))
    page.text(0.5, 0.5, "here")
    there = page.text(0.1, 0.1, "there")
    page.add_axes((0.2, 0.2, 0.6, 0.6)).set_axis_off()
    check_layout(page)
    there.set_position((0.51, 0.5))
    with pytest.raises(AssertionError, match=r"overlap: .*here.*there"):
        check_layout(page)
    there.set_position((0.98, 0.1))
    with pytest.raises(AssertionError, match=r"cut off: .*there"):
        check_layout(page)
