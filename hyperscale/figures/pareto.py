"""Draw accuracy against what the KV cache costs, every point of it: the paper's Figure 3."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperscale.analysis.pareto import MAXIMISED, frontier
from hyperscale.figures import style
from hyperscale.figures.annotate import arrange, draw_markers, label_points
from hyperscale.figures.captions import COSTS, CostAxis, drawable, legend, notes, scale_axes
from hyperscale.figures.data import FigureData, counts, short_model
from hyperscale.figures.page import AXIS_ROOM, PANEL_HEAD, Page, head_panel, label_below, make_page

MANY = 24
"""Above this count of points in a panel, only those on frontiers are labelled."""
CROWDED = 40
"""Above this count, panels are as wide as the page and stacked."""
PANEL, PANEL_GAP = (3.0, 2.4), 0.2
WIDE_PANEL = (7.6, 3.5)


def draw(data: FigureData) -> Figure:
    """Draw a panel for each task and cost: colour by backend, marker by CR, label W–L per point, line per frontier."""
    tasks = sorted(data.points["task"].unique())
    looks, marks = style.looks(data.points["backend"]), style.marks(data.points["compression_ratio"])
    crowded = bool(data.points.groupby("task").size().max() > CROWDED)
    page, panels = _lay_out(data, tasks, crowded=crowded)
    for task, of_task in zip(tasks, panels, strict=True):
        points = data.of_task(task)
        head_panel(of_task[0], data.titles[task], counts(points))
        for axes, cost in zip(of_task, COSTS, strict=True):
            _draw_panel(axes, points, cost, looks, marks, crowded=crowded)
            if crowded or task == tasks[-1]:
                label_below(page.figure, [axes], cost.label)
            if crowded or cost is COSTS[0]:
                axes.set_ylabel("Accuracy (%)")
            else:
                # The panel at the left shows the same scale.
                axes.tick_params(labelleft=False)
    return page.figure


def _lay_out(data: FigureData, tasks: list[str], *, crowded: bool) -> tuple[Page, list[list[Axes]]]:
    """Make the page and its panels by task: costs side by side, or stacked where `crowded`."""
    columns = 1 if crowded else len(COSTS)
    width, height = WIDE_PANEL if crowded else PANEL
    gap = AXIS_ROOM if crowded else 0.0
    block = len(COSTS) * height + (len(COSTS) - 1) * gap if crowded else height
    step = block + PANEL_HEAD + (gap or 0.28)
    page = make_page(
        columns * width + (columns - 1) * PANEL_GAP,
        len(tasks) * step - (step - block),
        title=f"{short_model(data.model)}: accuracy against KV-cache cost",
        legend=legend(data.points),
        notes=notes(data, bare=bool(data.points.groupby("task").size().max() > MANY)),
    )
    panels = [
        [
            page.panel(
                0 if crowded else number * (width + PANEL_GAP),
                row * step + (number * (height + gap) if crowded else 0),
                width,
                height,
                f"{task} {cost.column}",
            )
            for number, cost in enumerate(COSTS)
        ]
        for row, task in enumerate(tasks)
    ]
    return page, panels


def _draw_panel(
    axes: Axes,
    of_task: pd.DataFrame,
    cost: CostAxis,
    looks: dict[str, style.Look],
    marks: dict[float, style.Mark],
    *,
    crowded: bool,
) -> None:
    points = of_task[drawable(of_task, cost.column)]
    optimal = pd.Series(False, index=points.index)
    for backend in looks:
        pool = points[points["backend"] == backend]
        best = frontier(pool[cost.column], pool["accuracy"], maximise_cost=cost.column in MAXIMISED)
        optimal[pool.index[best]] = True
    scale_axes(axes, of_task, points[cost.column], cost)
    chance = of_task["chance"].max()
    if chance > 0:
        axes.axhline(100 * chance, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1, gid="chance")
    drawn = arrange(axes, points, optimal, cost.column, list(looks))
    for backend, look in looks.items():
        line = drawn[drawn["best"] & (drawn["backend"] == backend)].sort_values(cost.column)
        percent = 100 * line[["accuracy", "accuracy_low", "accuracy_high"]]
        axes.plot(
            line[cost.column],
            percent["accuracy"],
            color=look.colour,
            linewidth=1.1,
            linestyle=look.dash,
            drawstyle=cost.stairs,
            zorder=2.5,
            gid="frontier",
        )
        axes.vlines(
            line[cost.column],
            percent["accuracy_low"],
            percent["accuracy_high"],
            color=look.colour,
            linewidth=0.5 if crowded else 0.7,
            alpha=0.35 if crowded else 0.55,
            zorder=1.5,
            gid="interval",
        )
    draw_markers(axes, drawn, cost.column, looks, marks)
    label_points(
        axes,
        drawn,
        cost.column,
        looks,
        chance,
        rising=cost.column not in MAXIMISED,
        everything=len(of_task) <= MANY,
        strict=crowded,
    )
