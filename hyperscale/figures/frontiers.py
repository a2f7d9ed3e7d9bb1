"""Draw the frontiers alone, all tasks and costs on one page: which backend buys the most."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperscale.analysis.pareto import MAXIMISED, frontier
from hyperscale.figures import style
from hyperscale.figures.captions import COSTS, CostAxis, backend_keys, drawable, scale_axes
from hyperscale.figures.data import INTERVAL_NOTE, FigureData, counts, short_model
from hyperscale.figures.page import PANEL_HEAD, head_panel, label_below, make_page

PANEL, GAP, STEP = (2.55, 1.95), 0.18, 0.3
DOT = 2.6


def draw(data: FigureData) -> Figure:
    """Draw a row of panels per task, a column per cost, a line per backend through its frontier over all its CRs."""
    tasks = sorted(data.points["task"].unique())
    looks = style.looks(data.points["backend"])
    (width, height), down = PANEL, PANEL[1] + PANEL_HEAD + STEP
    page = make_page(
        len(COSTS) * width + (len(COSTS) - 1) * GAP,
        len(tasks) * down - (down - height),
        title=f"{short_model(data.model)}: the best accuracy that a KV-cache budget buys",
        legend=[backend_keys(data.points)],
        notes=[_note(data)],
    )
    for row, task in enumerate(tasks):
        points = data.of_task(task)
        panels = [
            page.panel(column * (width + GAP), row * down, width, height, f"{task} {cost.column}")
            for column, cost in enumerate(COSTS)
        ]
        head_panel(panels[0], data.titles[task], counts(points))
        for axes, cost in zip(panels, COSTS, strict=True):
            _draw_panel(axes, points, cost, looks)
            if cost is COSTS[0]:
                axes.set_ylabel("Accuracy (%)")
            else:
                axes.tick_params(labelleft=False)
            if task == tasks[-1]:
                label_below(page.figure, [axes], cost.label)
    return page.figure


def _draw_panel(axes: Axes, of_task: pd.DataFrame, cost: CostAxis, looks: dict[str, style.Look]) -> None:
    points = of_task[drawable(of_task, cost.column)]
    scale_axes(axes, of_task, points[cost.column], cost)
    chance = of_task["chance"].max()
    if chance > 0:
        axes.axhline(100 * chance, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1, gid="chance")
    # The legend's first lies on top.
    for order, (backend, look) in enumerate(reversed(looks.items())):
        pool = points[points["backend"] == backend]
        best = frontier(pool[cost.column], pool["accuracy"], maximise_cost=cost.column in MAXIMISED)
        line = pool.iloc[best]
        percent = 100 * line[["accuracy", "accuracy_low", "accuracy_high"]]
        axes.vlines(
            line[cost.column], percent["accuracy_low"], percent["accuracy_high"],
            color=look.colour, linewidth=0.6, alpha=0.3, zorder=1.5, gid="interval",
        )  # fmt: skip
        axes.plot(
            line[cost.column], percent["accuracy"], color=look.colour, linewidth=1.3, linestyle=look.dash,
            drawstyle=cost.stairs,
            zorder=2 + 0.1 * order, gid="frontier",
        )  # fmt: skip
        axes.plot(
            line[cost.column], percent["accuracy"], color=look.colour, linestyle="none", marker="o", markersize=DOT,
            markeredgecolor="white", markeredgewidth=0.3, zorder=3 + 0.1 * order, gid="point",
        )  # fmt: skip


def _note(data: FigureData) -> str:
    partial = "" if data.points["complete"].all() else " Partial run: points may move."
    return (
        "Pareto frontiers over all W (parallel threads), L (tokens a thread) and compression ratios (CR) of a backend: "
        "at each budget the best point within it; cost axes are logarithmic. "
        f"Thin lines: 95 % intervals ({INTERVAL_NOTE})."
        + (f" Sampling: {data.sampling}." if data.sampling else "")
        + (f" {data.left_out}" if data.left_out else "")
        + partial
    )
