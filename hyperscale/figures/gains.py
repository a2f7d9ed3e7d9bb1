"""Draw the gains of every backend over its baseline: interval, gain of equals, other readings of the formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hyperscale.analysis.curves import THE_READING
from hyperscale.figures import style
from hyperscale.figures.captions import COSTS
from hyperscale.figures.data import FigureData, counts, short_model
from hyperscale.figures.page import PANEL_HEAD, head_panel, label_below, make_page

PANEL, GAP, STEP = 2.55, 0.18, 0.3
ROW = 0.3
"""Height of a pair's row in inches: its name, and its gain below."""


def draw(data: FigureData) -> Figure:
    """Draw a row of panels per task, a column per cost; in a panel a row per pair of backends."""
    tasks = sorted(data.points["task"].unique())
    pairs = {task: _pairs(data, task) for task in tasks}
    heights = {task: ROW * max(1, len(pairs[task])) for task in tasks}
    page = make_page(
        len(COSTS) * PANEL + (len(COSTS) - 1) * GAP,
        sum(heights.values()) + (len(tasks) - 1) * (PANEL_HEAD + STEP),
        title=f"{short_model(data.model)}: accuracy gained at equal KV-cache budgets",
        legend=[_legend()],
        notes=[_note(data)],
    )
    top = 0.0
    for task in tasks:
        of_task = data.gains[data.gains["task"] == task]
        panels = [
            page.panel(column * (PANEL + GAP), top, PANEL, heights[task], f"{task} {cost.column}")
            for column, cost in enumerate(COSTS)
        ]
        head_panel(panels[0], data.titles[task], counts(data.of_task(task)))
        for axes, cost in zip(panels, COSTS, strict=True):
            _draw_panel(axes, of_task[of_task["axis"] == cost.column], pairs[task], named=cost is COSTS[0])
            if task == tasks[-1]:
                label_below(page.figure, [axes], f"Gain at equal {cost.name} (points)")
        top += heights[task] + PANEL_HEAD + STEP
    return page.figure


def _pairs(data: FigureData, task: str) -> list[tuple[str, str]]:
    """List a task's pairs, of each baseline in the order of the legend; only those over vanilla where it is one."""
    of_task = data.gains[data.gains["task"] == task]
    found = set(zip(of_task["backend"], of_task["baseline"], strict=True))
    over_vanilla = {pair for pair in found if pair[1] == "vanilla"}
    order = list(style.looks({name for pair in found for name in pair}))
    return sorted(over_vanilla or found, key=lambda pair: (order.index(pair[1]), order.index(pair[0])))


def _draw_panel(axes: Axes, of_cost: pd.DataFrame, pairs: list[tuple[str, str]], *, named: bool) -> None:
    axes.set_ylim(len(pairs) or 1, 0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=style.MUTED, linewidth=0.6, zorder=1)
    percent = 100 * of_cost[["gain", "gain_low", "gain_high", "gain_null"]].to_numpy(float)
    extent = np.nanmax(np.abs(percent), initial=1.0) * 1.1
    axes.set_xlim(-extent, extent)
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
    if not pairs:
        axes.text(0.5, 0.5, "no gain", transform=axes.transAxes, ha="center", va="center", color=style.MUTED)
    for row, (backend, baseline) in enumerate(pairs):
        look, other = (style.looks([name])[name] for name in (backend, baseline))
        if named:
            name = f"{look.title} over {other.title}"
            at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "left", "va": "center"}
            axes.text(0.01, row + 0.26, name, **at, fontsize=6.5, color=look.dark, gid="pair")
        mine = of_cost[(of_cost["backend"] == backend) & (of_cost["baseline"] == baseline)]
        chosen = (mine["interpolation"] == THE_READING.interpolation) & (mine["scale"] == THE_READING.scale)
        _draw_gain(axes, mine[chosen], mine[~chosen], row + 0.68, look)


def _draw_gain(axes: Axes, chosen: pd.DataFrame, others: pd.DataFrame, y: float, look: style.Look) -> None:
    if not np.isfinite(chosen["gain"]).any():
        axes.text(0, y, "no common budget", ha="center", va="center", fontsize=6, color=style.MUTED, gid="none")
        return
    percent = 100 * chosen[["gain", "gain_low", "gain_high", "gain_null"]].iloc[0]
    axes.hlines(y, percent["gain_low"], percent["gain_high"], color=look.colour, linewidth=1.2, gid="interval")
    marks: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.3}
    axes.plot(
        100 * others["gain"], [y] * len(others), **marks, marker="o", markersize=2.6, color=look.pale, gid="reading"
    )
    axes.plot(percent["gain"], y, **marks, marker="o", markersize=4.6, color=look.colour, zorder=3, gid="gain")
    axes.plot(
        percent["gain_null"], y, linestyle="none", marker="|", markersize=7, markeredgewidth=1.2, color=style.INK,
        zorder=4, gid="null",
    )  # fmt: skip


def _legend() -> list[Line2D]:
    none: dict[str, Any] = {
        "linestyle": "none",
        "color": style.MUTED,
        "markeredgecolor": "white",
        "markeredgewidth": 0.3,
    }
    return [
        Line2D([], [], label="gain (staircase, log2 budget)", marker="o", markersize=4.6, **none),
        Line2D([], [], label="95 % interval", color=style.MUTED, linewidth=1.2),
        Line2D([], [], label="gain of equals", linestyle="none", color=style.INK, marker="|", markersize=7),
        Line2D([], [], label="other readings", marker="o", markersize=2.6, **{**none, "color": "#b2b2b2"}),
    ]


def _note(data: FigureData) -> str:
    partial = "" if data.points["complete"].all() else " Partial run: gains may move."
    return (
        "Mean difference of two frontiers over the budgets that both cover. A gain is to be compared with the gain of "
        "equals, which more compression ratios to choose from give by themselves (labels permuted by problem), not "
        "with 0. Intervals: bootstrap over problems; none where the budgets themselves are not known. Other readings: "
        "straight lines between points, linear budgets." + (f" {data.left_out}" if data.left_out else "") + partial
    )
