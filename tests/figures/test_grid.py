from __future__ import annotations

import math

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from hyperscale.figures.grid import SHADES, Cache, arrange
from tests.analysis.synthetic import points_table
from tests.figures.pages import SEVERAL, SINGLE, make, panel, words

CACHES = [("vanilla", 1.0), ("dms", 4.0), ("dms", 8.0), ("quest", 4.0)]


def tables(page: Figure) -> list[Axes]:
    return [axes for axes in page.axes if axes.get_label() != "scale"]


def test_grid_shows_each_point_in_its_cell() -> None:
    points = points_table(SEVERAL)
    page = make("grid", points)
    tasks = sorted(points["task"].unique())
    assert len(tables(page)) == len(CACHES) * len(tasks)
    widths, lengths = sorted(points["width"].unique()), sorted(points["length"].unique())
    for task in tasks:
        for backend, ratio in CACHES:
            axes = panel(page, task, f"{backend} {ratio:g}")
            rows = points[
                (points["task"] == task) & (points["backend"] == backend) & (points["compression_ratio"] == ratio)
            ]
            expected = {
                (lengths.index(n), widths.index(w)): f"{100 * accuracy:.1f}"
                for w, n, accuracy in zip(rows["width"], rows["length"], rows["accuracy"], strict=True)
            }
            shown = {
                (int(text.get_position()[0]), int(text.get_position()[1])): text.get_text()
                for text in axes.texts
                if text.get_gid() == "accuracy"
            }
            assert shown == expected


def test_a_backend_has_a_row_and_a_ratio_a_column() -> None:
    points = points_table({**SEVERAL, "tova": [8.0]}, tasks=("gsm8k",))
    assert arrange(points) == [
        [Cache("vanilla", 1.0, 0)],
        [Cache("dms", 4.0, 0), Cache("dms", 8.0, 1)],
        [Cache("quest", 4.0, 0)],
        [Cache("tova", 8.0, 1)],
    ]
    page = make("grid", points)
    corner = {
        str(axes.get_label()): (round(axes.get_position().x0, 6), round(axes.get_position().y0, 6))
        for axes in tables(page)
    }
    assert corner["gsm8k dms 4"][1] == corner["gsm8k dms 8"][1]
    assert corner["gsm8k dms 8"][0] == corner["gsm8k tova 8"][0] > corner["gsm8k dms 4"][0]
    assert corner["gsm8k vanilla 1"][0] == corner["gsm8k dms 4"][0] == corner["gsm8k quest 4"][0]
    names = [text.get_text() for text in page.findobj(Text) if text.get_gid() == "cache"]
    assert names == ["Vanilla", "DMS, CR 4", "DMS, CR 8", "Quest, CR 4", "TOVA, CR 8"]


def test_a_ratio_of_one_has_its_column_where_a_backend_has_others() -> None:
    points = points_table({"vanilla": [1.0], "dms": [1.0, 4.0]}, tasks=("gsm8k",))
    assert [[cache.column for cache in row] for row in arrange(points)] == [[0], [0, 1]]


def test_axis_titles_stand_once_a_block_and_every_row_names_its_threads() -> None:
    page = make("grid", points_table({**SEVERAL, "tova": [8.0]}, tasks=("gsm8k",)))
    text = words(page)
    assert text.count("W (threads)") == text.count("L (tokens a thread, prompt included)") == 1
    for axes in tables(page):
        assert bool(axes.get_yticklabels()) == (axes.get_label() != "gsm8k dms 8")
    below = {axes.get_label() for axes in tables(page) if axes.get_xticklabels()}
    assert below == {"gsm8k quest 4", "gsm8k tova 8"}


@pytest.mark.parametrize("lengths", [(512,), (512, 1024, 2048, 4096, 8192)])
@pytest.mark.parametrize("backends", [SINGLE, SEVERAL])
@pytest.mark.parametrize("tasks", [("gsm8k",), ("gsm8k", "math500", "aime24")])
def test_panels_lie_apart_and_on_the_page(
    tasks: tuple[str, ...], backends: dict[str, list[float]], lengths: tuple[int, ...]
) -> None:
    page = make("grid", points_table(backends, tasks=tasks, lengths=lengths))
    boxes = [axes.get_position() for axes in page.axes]
    for i, box in enumerate(boxes):
        assert 0 < box.x0 < box.x1 < 1
        assert 0 < box.y0 < box.y1 < 1
        assert all(
            min(box.x1, other.x1) <= max(box.x0, other.x0) or min(box.y1, other.y1) <= max(box.y0, other.y0)
            for other in boxes[:i]
        )
    assert page.get_figwidth() < 10
    inside = page.bbox
    for text in page.findobj(Text):
        extent = text.get_window_extent()
        if text.get_text() and text.get_visible() and extent.width:
            assert inside.x0 <= extent.x0
            assert extent.x1 <= inside.x1


def test_equal_accuracies_have_equal_shades_whatever_the_others_are() -> None:
    def shades(points: pd.DataFrame) -> set[str]:
        axes = tables(make("grid", points))[0]
        return {to_hex(patch.get_facecolor()) for patch in axes.patches if isinstance(patch, Rectangle)}

    points = points_table(SINGLE, tasks=("gsm8k",))
    low = points.assign(accuracy=0.02)
    assert shades(low) == {to_hex(SHADES(0.02))}
    low.loc[0, "accuracy"] = 0.9
    assert shades(low) == {to_hex(SHADES(0.02)), to_hex(SHADES(0.9))}
    page = make("grid", low)
    (scale,) = (axes for axes in page.axes if axes.get_label() == "scale")
    assert [text.get_text() for text in scale.get_xticklabels()] == ["0", "25", "50", "75", "100"]
    assert "accuracy (%)" in words(page)


def test_partial_points_have_a_star_and_missing_intervals_no_text() -> None:
    points = points_table(SINGLE, tasks=("gsm8k",))
    points["complete"] = points["width"] < 4
    points[["accuracy_low", "accuracy_high"]] = math.nan
    points.loc[0, "accuracy"] = math.nan
    page = make("grid", points)
    cells = [text.get_text() for text in page.findobj(Text) if text.get_gid() == "accuracy"]
    assert sum(cell.endswith("*") for cell in cells) == int((~points["complete"]).sum())
    assert "NaN" in cells
    assert [text for text in page.findobj(Text) if text.get_gid() == "interval"] == []
    assert "* Partial run" in words(page)
