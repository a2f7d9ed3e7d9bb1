from __future__ import annotations

import math

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from hyperscale.figures import FIGURES, style
from hyperscale.figures.data import FigureData
from tests.analysis.synthetic import points_table
from tests.reference import frontier as reference

COSTS = ("kv_reads", "peak_tokens", "throughput")
SINGLE = {"vanilla": [1.0]}


SEVERAL = {"vanilla": [1.0], "dms": [4.0, 8.0], "quest": [4.0]}


def make(name: str, points: pd.DataFrame, sampling: str = "") -> Figure:
    titles = {task: task.upper() for task in points["task"].unique()}
    with matplotlib.rc_context(style.RC):
        page = FIGURES[name](FigureData("org/model", points, titles, sampling))
        page.draw_without_rendering()
    return page


def panel(page: Figure, points: pd.DataFrame, task: str, cost: str) -> Axes:
    tasks = sorted(points["task"].unique())
    return page.axes[COSTS.index(cost) * len(tasks) + tasks.index(task)]


def corners(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata(), dtype=float)]


def marked(axes: Axes, gid: str) -> list[tuple[float, float]]:
    """(x, y) of every marker that the panel holds under that name."""
    return [xy for line in axes.lines if line.get_gid() == gid for xy in corners(line)]


def words(page: Figure) -> str:
    return "\n".join(text.get_text() for text in page.findobj(Text))


def labels(axes: Axes) -> list[Text]:
    return [text for text in axes.texts if text.get_gid() in ("label", "chance label")]


def best_of(points: pd.DataFrame, cost: str) -> set[tuple[float, float]]:
    """(cost, percent) of the points on any backend's frontier, by the reference."""
    sign = -1 if cost == "throughput" else 1
    best = set()
    for _, pool in points.groupby("backend"):
        pairs = list(zip(sign * pool[cost], pool["accuracy"], strict=True))
        best |= {(sign * pairs[i][0], 100 * pairs[i][1]) for i in reference.frontier(pairs)}
    return best


@pytest.mark.parametrize("backends", [SINGLE, SEVERAL])
@pytest.mark.parametrize("tasks", [("gsm8k",), ("gsm8k", "gpqa_diamond")])
def test_every_point_is_drawn_once_and_frontiers_stand_out(
    backends: dict[str, list[float]], tasks: tuple[str, ...]
) -> None:
    points = points_table(backends, tasks=tasks)
    page = make("pareto", points)
    assert len(page.axes) == len(COSTS) * len(tasks)
    for task in tasks:
        of_task = points[points["task"] == task]
        for cost in COSTS:
            axes = panel(page, points, task, cost)
            best, dominated = marked(axes, "frontier points"), marked(axes, "dominated points")
            assert set(best) == best_of(of_task, cost)
            assert len(best) + len(dominated) == len(of_task)
            assert sorted(marked(axes, "frontier")) == sorted(best)
            chance = [line for line in axes.lines if line.get_gid() == "chance"]
            assert [corners(line)[0][1] for line in chance] == ([25] if task == "gpqa_diamond" else [])
            low, high = axes.get_ylim()
            assert all(low < y < high for _, y in best + dominated)


def expected_names(points: pd.DataFrame) -> set[str]:
    """Every label a panel may hold: W–L, and CR where several of its backend's stand beside each other."""
    several = points.groupby("backend")["compression_ratio"].nunique().max() > 1
    return {
        f"{w}–{n // 1024}K" + (f"–{cr:g}" if several and cr != 1 else "")
        for w, n, cr in zip(points["width"], points["length"], points["compression_ratio"], strict=True)
    }


@pytest.mark.parametrize("widths", [(1, 2), (1, 2, 4, 8), (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)])
@pytest.mark.parametrize("backends", [SINGLE, SEVERAL])
def test_labels_name_points_and_no_two_overlap(backends: dict[str, list[float]], widths: tuple[int, ...]) -> None:
    points = points_table(backends, tasks=("gpqa_diamond",), widths=widths, lengths=(1024, 2048, 4096, 8192))
    for axes in make("pareto", points).axes:
        texts = labels(axes)
        names = [text.get_text() for text in texts if text.get_gid() == "label"]
        assert set(names) <= expected_names(points)
        if backends is SINGLE:
            assert len(names) >= 0.8 * len(marked(axes, "frontier points"))
        # Text's own extent: an annotation's would take in the line that ties it to its point.
        extents = [Text.get_window_extent(text) for text in texts]
        edges = axes.get_window_extent()
        for i, box in enumerate(extents):
            assert edges.x0 - 1 <= box.x0 < box.x1 <= edges.x1 + 1
            assert edges.y0 - 1 <= box.y0 < box.y1 <= edges.y1 + 1
            for other in extents[:i]:
                shared_x = min(box.x1, other.x1) - max(box.x0, other.x0)
                shared_y = min(box.y1, other.y1) - max(box.y0, other.y0)
                # A pixel of grace: text is set on whole pixels.
                assert min(shared_x, shared_y) <= 1


def test_two_points_are_both_labelled() -> None:
    page = make("pareto", points_table(SINGLE, tasks=("gsm8k",), widths=(1, 2), lengths=(512,)))
    for axes in page.axes:
        assert {text.get_text() for text in labels(axes)} == {"1–512", "2–512"}


def test_words_on_the_page_need_no_caption() -> None:
    points = points_table(SEVERAL)
    text = words(make("pareto", points, sampling="temperature 0.6, seed 0"))
    for phrase in (
        "org/model: accuracy against KV-cache cost",
        "KV-cache reads per problem (tokens, mean over layers and KV heads)",
        "Peak KV cache per problem",
        "problems per minute",
        "Accuracy (%)",
        "GSM8K",
        "maj@W, 12 problems, 96 samples",
        "Vanilla",
        "DMS (CR 4, 8)",
        "Quest (CR 4)",
        "chance 25 %",
        "95 % interval",
        "temperature 0.6, seed 0",
    ):
        assert phrase in text
    assert "partial run" not in text
    assert "Left out" not in text


def test_accuracies_of_zero_have_a_sensible_range() -> None:
    points = points_table(SINGLE, tasks=("gsm8k",))
    points[["accuracy", "accuracy_low", "accuracy_high"]] = 0.0
    for axes in make("pareto", points).axes:
        low, high = axes.get_ylim()
        assert -5 < low < 0
        assert 10 <= high < 20
        assert all(0 <= tick <= 100 for tick in axes.get_yticks())


def test_points_that_are_not_finite_are_left_out_with_a_note() -> None:
    points = points_table(SINGLE, tasks=("gsm8k",))
    points.loc[0, "throughput"] = math.nan
    points.loc[1, "kv_reads"] = math.inf
    points.loc[2, "accuracy"] = math.nan
    page = make("pareto", points)
    left_out = {"kv_reads": 2, "peak_tokens": 1, "throughput": 2}
    for cost, count in left_out.items():
        axes = panel(page, points, "gsm8k", cost)
        drawn = marked(axes, "frontier points") + marked(axes, "dominated points")
        assert len(drawn) == len(points) - count
    note = "2 of 12 points of GSM8K in reads; 1 of 12 points of GSM8K in peak; 2 of 12 points of GSM8K in throughput"
    assert note in words(page).replace("\n", " ")


def test_a_panel_without_a_finite_point_says_so() -> None:
    points = points_table(SINGLE, tasks=("gsm8k",)).assign(throughput=math.nan)
    axes = panel(make("pareto", points), points, "gsm8k", "throughput")
    assert [text.get_text() for text in axes.texts] == ["no finite point"]


def test_incomplete_points_are_hollow_and_named() -> None:
    points = points_table(SINGLE, tasks=("gsm8k",))
    points["complete"] = points["width"] < 4
    page = make("pareto", points)
    assert "partial run" in words(page)
    for axes in page.axes:
        hollow = [
            line for line in axes.lines if "points" in (line.get_gid() or "") and line.get_markerfacecolor() == "white"
        ]
        assert sum(len(corners(line)) for line in hollow) == int((points["width"] >= 4).sum())
    assert "*" in words(make("grid", points))


def test_intervals_that_are_missing_are_not_drawn_and_do_no_harm() -> None:
    points = points_table(SEVERAL, tasks=("gsm8k",)).assign(accuracy_low=math.nan, accuracy_high=math.nan)
    assert len(make("pareto", points).axes) == len(COSTS)
    cells = [text for text in make("grid", points).findobj(Text) if text.get_gid() == "interval"]
    assert cells == []


def test_grid_shows_each_point_in_its_cell() -> None:
    points = points_table(SEVERAL)
    page = make("grid", points)
    tasks = sorted(points["task"].unique())
    caches = [("vanilla", 1.0), ("dms", 4.0), ("dms", 8.0), ("quest", 4.0)]
    assert len(page.axes) == len(caches) * len(tasks)
    widths, lengths = sorted(points["width"].unique()), sorted(points["length"].unique())
    for number, axes in enumerate(page.axes):
        (backend, ratio), task = caches[number // len(tasks)], tasks[number % len(tasks)]
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
