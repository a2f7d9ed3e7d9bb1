"""Accuracy against what the KV cache costs: the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hyperscale.analysis.pareto import MAXIMISED, frontier
from hyperscale.figures import style
from hyperscale.figures.annotate import label_points
from hyperscale.figures.data import INTERVAL_NOTE, FigureData, counts, short_model
from hyperscale.figures.page import head_column, label_row, make_page

PANEL = (3.35, 2.35)
MARKER = 4.4
PALE = 0.3


class CostAxis(NamedTuple):
    """A row of panels: the column it shows, its short and full name, and how its ticks read."""

    column: str
    name: str
    label: str
    tick: Callable[[float], str]


COSTS = (
    CostAxis(
        "kv_reads",
        "reads",
        "KV-cache reads per problem (tokens, mean over layers and KV heads)",
        style.tokens,
    ),
    CostAxis(
        "peak_tokens",
        "peak",
        "Peak KV cache per problem (tokens, mean over layers and KV heads)",
        style.tokens,
    ),
    CostAxis("throughput", "throughput", "Throughput (problems per minute; more is better)", style.rate),
)


def figure(data: FigureData) -> Figure:
    """Rows are costs, columns are tasks. A colour a backend, a label W–L a point, a line a frontier."""
    tasks = sorted(data.points["task"].unique())
    looks = style.looks(data.points["backend"])
    # Three panels of a single task fit side by side, where a column would waste the page.
    across = len(tasks) == 1
    page, panels = make_page(
        1 if across else len(COSTS),
        len(COSTS) if across else len(tasks),
        PANEL,
        title=f"{short_model(data.model)}: accuracy against KV-cache cost",
        legend=_legend(data.points, looks),
        notes=_notes(data),
    )
    for column, task in enumerate(tasks):
        points = data.of_task(task)
        head_column(panels[0][column], data.titles[task], counts(points))
        for row, cost in enumerate(COSTS):
            _draw_panel(panels[0][row] if across else panels[row][column], points, cost, looks)
    for panels_of_cost, cost in zip([[axes] for axes in panels[0]] if across else panels, COSTS, strict=True):
        label_row(page, panels_of_cost, cost.label)
    for panels_of_row in panels:
        panels_of_row[0].set_ylabel("Accuracy (%)")
    return page


def drawable(points: pd.DataFrame, column: str) -> pd.Series:
    """Which points have a place on a logarithmic cost axis: finite, and a cost above 0."""
    return np.isfinite(points[column]) & np.isfinite(points["accuracy"]) & (points[column] > 0)


def _draw_panel(axes: Axes, of_task: pd.DataFrame, cost: CostAxis, looks: dict[str, style.Look]) -> None:
    points = of_task[drawable(of_task, cost.column)]
    optimal = pd.Series(False, index=points.index)
    for backend in looks:
        pool = points[points["backend"] == backend]
        best = frontier(pool[cost.column], pool["accuracy"], maximise_cost=cost.column in MAXIMISED)
        optimal[pool.index[best]] = True
    _scale(axes, of_task, points[cost.column], cost)
    chance = of_task["chance"].max()
    if chance > 0:
        axes.axhline(100 * chance, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1, gid="chance")
    for backend, look in looks.items():
        _draw_backend(axes, points[points["backend"] == backend], optimal, cost, look)
    label_points(axes, points, optimal, cost.column, looks, chance, rising=cost.column not in MAXIMISED)


def _draw_backend(axes: Axes, pool: pd.DataFrame, optimal: pd.Series, cost: CostAxis, look: style.Look) -> None:
    line = pool[optimal[pool.index]].sort_values(cost.column)
    axes.plot(
        line[cost.column],
        100 * line["accuracy"],
        color=look.colour,
        linewidth=1.1,
        zorder=2.5,
        gid="frontier",
    )
    for best, whole in [(False, False), (False, True), (True, False), (True, True)]:
        group = pool[(optimal[pool.index] == best) & (pool["complete"] == whole)]
        if group.empty:
            continue
        x, y = group[cost.column], 100 * group["accuracy"]
        axes.vlines(
            x,
            100 * group["accuracy_low"],
            100 * group["accuracy_high"],
            color=look.colour,
            linewidth=0.6,
            alpha=0.55 if best else PALE / 2,
            zorder=1.5,
            gid="interval",
        )
        axes.plot(
            x,
            y,
            linestyle="none",
            marker=look.marker,
            markersize=MARKER,
            markeredgewidth=0.7,
            markeredgecolor=look.colour if not whole else "white",
            markerfacecolor="white" if not whole else look.colour,
            alpha=1.0 if best else PALE,
            zorder=3 if best else 2,
            gid="frontier points" if best else "dominated points",
        )


def _scale(axes: Axes, of_task: pd.DataFrame, costs: pd.Series, cost: CostAxis) -> None:
    """Limits and ticks. The accuracy's are those of all of the task's points, the same in every row."""
    shown = of_task[["accuracy", "accuracy_low", "accuracy_high"]].assign(chance=of_task["chance"].replace(0, np.nan))
    percent = 100 * shown.to_numpy(float)
    percent = percent[np.isfinite(percent)]
    low, high = (percent.min(), percent.max()) if percent.size else (0.0, 0.0)
    low, high = (low, low + 10) if low < 90 and high - low < 10 else (min(low, 90), high)
    pad = 0.1 * (high - low)
    axes.set_ylim(low - pad, high + pad)
    ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low - pad, high + pad)
    axes.yaxis.set_major_locator(
        FixedLocator([tick for tick in ticks if low - pad <= tick <= min(high + pad, 100) and tick >= 0])
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    if costs.empty:
        axes.xaxis.set_major_locator(NullLocator())
        axes.text(0.5, 0.5, "no finite point", transform=axes.transAxes, ha="center", color=style.MUTED)
        return
    margin = max(1.15, (costs.max() / costs.min()) ** 0.1)
    limits = costs.min() / margin, costs.max() * margin
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(FixedLocator(style.octave_ticks(*limits)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cost.tick(value)))


def _legend(points: pd.DataFrame, looks: dict[str, style.Look]) -> list[Artist]:
    def ratios(backend: str) -> str:
        values = sorted(points.loc[points["backend"] == backend, "compression_ratio"].unique())
        return "" if values == [1] else f" (CR {', '.join(f'{value:g}' for value in values)})"

    def key(label: str, **kwargs: Any) -> Line2D:
        return Line2D([], [], label=label, **{"markersize": MARKER, "markeredgewidth": 0.7, **kwargs})

    keys: list[Artist] = [
        key(
            look.title + ratios(name),
            color=look.colour,
            marker=look.marker,
            linewidth=1.1,
            markeredgecolor="white",
        )
        for name, look in looks.items()
    ]
    grey = {"color": style.MUTED, "marker": "o", "linestyle": "none"}
    keys.append(key("dominated", **grey, alpha=PALE, markeredgecolor="white"))
    if not points["complete"].all():
        keys.append(key("partial run", **grey, markerfacecolor="white"))
    keys.append(key("95 % interval", color=style.MUTED, marker="|", linestyle="none", markersize=8))
    return keys


def _notes(data: FigureData) -> list[str]:
    several = style.several_ratios(data.points)
    label = "W–L–CR (CR: compression ratio)" if several else "W–L"
    notes = [
        f"A label reads {label}: W parallel threads a problem, each capped at L tokens, prompt included "
        "(K = 1024). "
        "Lines are Pareto frontiers; cost axes are logarithmic. 95 % intervals: "
        f"{INTERVAL_NOTE}." + (f" Sampling: {data.sampling}." if data.sampling else "")
    ]
    if not data.points["complete"].all():
        notes.append("Partial run: hollow points miss problems or threads of the full task, and may move.")
    left_out = [
        f"{bad} of {len(data.of_task(task))} points of {data.titles[task]} in {cost.name}"
        for task in sorted(data.points["task"].unique())
        for cost in COSTS
        if (bad := int((~drawable(data.of_task(task), cost.column)).sum()))
    ]
    if left_out:
        notes.append(f"Left out, as their numbers are not finite: {'; '.join(left_out)}.")
    return notes
