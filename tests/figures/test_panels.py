from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

from hyperscale.figures import style
from tests.analysis.synthetic import points_table
from tests.figures.pages import COSTS, SEVERAL, SINGLE, corners, labels, make, marked, panel, words
from tests.reference import frontier as reference

MANY = {"vanilla": [1.0], "dms": [4.0, 8.0], "quest": [4.0, 8.0], "tova": [4.0]}


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
            axes = panel(page, task, cost)
            best, dominated = marked(axes, "frontier points"), marked(axes, "dominated points")
            assert set(best) == best_of(of_task, cost)
            assert len(best) + len(dominated) == len(of_task)
            assert sorted(marked(axes, "frontier")) == sorted(best)
            chance = [line for line in axes.lines if line.get_gid() == "chance"]
            assert [corners(line)[0][1] for line in chance] == ([25] if task == "gpqa_diamond" else [])
            low, high = axes.get_ylim()
            assert all(low < y < high for _, y in best + dominated)


def expected_names(points: pd.DataFrame) -> set[str]:
    """Every label a panel may hold: W–L. The CR is told by the marker."""
    return {f"{w}–{style.length(n)}" for w, n in zip(points["width"], points["length"], strict=True)}


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
    text = words(make("pareto", points, sampling="temperature 0.6, seed 0")).replace("\n", " ")
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
        axes = panel(page, "gsm8k", cost)
        drawn = marked(axes, "frontier points") + marked(axes, "dominated points")
        assert len(drawn) == len(points) - count
    note = "2 of 12 points of GSM8K in reads; 1 of 12 points of GSM8K in peak; 2 of 12 points of GSM8K in throughput"
    assert note in words(page).replace("\n", " ")


def test_a_panel_without_a_finite_point_says_so() -> None:
    points = points_table(SINGLE, tasks=("gsm8k",)).assign(throughput=math.nan)
    axes = panel(make("pareto", points), "gsm8k", "throughput")
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


def test_intervals_that_are_missing_are_not_drawn_and_do_no_harm() -> None:
    points = points_table(SEVERAL, tasks=("gsm8k",)).assign(accuracy_low=math.nan, accuracy_high=math.nan)
    assert len(make("pareto", points).axes) == len(COSTS)


def intervals(axes: Axes) -> set[tuple[float, float, float]]:
    """(cost, low, high) of every interval in the panel."""
    lines = [line for line in axes.collections if line.get_gid() == "interval" and isinstance(line, LineCollection)]
    ends = [segment for line in lines for segment in line.get_segments()]
    return {(float(end[0][0]), float(end[0][1]), float(end[1][1])) for end in ends if len(end)}


@pytest.mark.parametrize("backends", [SINGLE, SEVERAL, MANY])
def test_intervals_stand_on_frontiers_only(backends: dict[str, list[float]]) -> None:
    points = points_table(backends, tasks=("gsm8k",))
    page = make("pareto", points)
    assert "95 % interval (frontier only)" in words(page)
    for cost in COSTS:
        axes = panel(page, "gsm8k", cost)
        best = best_of(points, cost)
        drawn = {
            (x, 100 * low, 100 * high)
            for x, y, low, high in zip(
                points[cost], points["accuracy"], points["accuracy_low"], points["accuracy_high"], strict=True
            )
            if (x, 100 * y) in best
        }
        assert intervals(axes) == drawn
        assert len(drawn) < len(points)


def test_markers_tell_backend_and_ratio() -> None:
    points = points_table(MANY, tasks=("gsm8k",))
    looks, marks = style.looks(points["backend"]), style.marks(points["compression_ratio"])
    assert len({mark.marker for mark in marks.values()}) == 3
    for cost in COSTS:
        axes = panel(make("pareto", points), "gsm8k", cost)
        seen = {
            (x, y): (line.get_marker(), to_hex(line.get_markerfacecolor()))
            for line in axes.lines
            if "points" in (line.get_gid() or "")
            for x, y in corners(line)
        }
        best = best_of(points, cost)
        for point in points.to_dict("records"):
            xy, look = (point[cost], 100 * point["accuracy"]), looks[point["backend"]]
            colour = to_hex(look.colour if xy in best else look.pale)
            assert seen[xy] == (marks[point["compression_ratio"]].marker, colour)


def test_points_that_coincide_are_all_to_be_seen() -> None:
    points = points_table({name: [4.0] for name in ("dms", "quest", "tova")}, tasks=("gsm8k",))
    columns = ["accuracy", "accuracy_low", "accuracy_high", *COSTS]
    dms = points.loc[points["backend"] == "dms", columns].to_numpy()
    for backend in ("quest", "tova"):
        points.loc[points["backend"] == backend, columns] = dms
    for axes in make("pareto", points).axes:
        sizes: dict[tuple[float, float], list[tuple[float, float]]] = {}
        for line in axes.lines:
            if "points" in (line.get_gid() or ""):
                for xy in corners(line):
                    sizes.setdefault(xy, []).append((line.get_markersize(), -line.get_zorder()))
        for at_place in sizes.values():
            # Three sizes at least a white border apart, the smaller above the larger.
            assert len(at_place) == 3
            assert sorted(at_place) == sorted(at_place, key=lambda ring: ring[1])
            ordered = sorted(size for size, _ in at_place)
            assert all(larger - smaller > 1.4 for smaller, larger in pairwise(ordered))
        # One black label serves all three.
        assert {text.get_color() for text in labels(axes)} == {style.INK}
        assert len(labels(axes)) <= len(set(marked(axes, "frontier points")))


def test_a_crowded_panel_is_wide_and_labels_frontiers_only() -> None:
    points = points_table(MANY, tasks=("gsm8k", "math500"))
    page = make("pareto", points)
    assert len({round(axes.get_position().x0, 6) for axes in page.axes}) == 1
    assert page.get_figwidth() < 9
    for task in ("gsm8k", "math500"):
        for cost in COSTS:
            axes = panel(page, task, cost)
            on_frontier = points.loc[
                [
                    (x, 100 * y) in best_of(points[points["task"] == task], cost)
                    for x, y in zip(points[cost], points["accuracy"], strict=True)
                ]
            ]
            names = [text.get_text() for text in labels(axes)]
            assert set(names) <= expected_names(on_frontier[on_frontier["task"] == task])
            assert len(names) >= 0.6 * len(set(marked(axes, "frontier points")))
            assert axes.get_xlabel() == ""
    few = make("pareto", points_table(SINGLE))
    assert len({round(axes.get_position().x0, 6) for axes in few.axes}) == len(COSTS)
    assert [axes.get_ylabel() for axes in few.axes].count("Accuracy (%)") == 2
