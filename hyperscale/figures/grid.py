"""Accuracy over W and L as a table of shaded cells: which corner of the grid pays."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hyperscale.figures import style
from hyperscale.figures.data import INTERVAL_NOTE, FigureData, counts, short_model
from hyperscale.figures.page import head_column, label_row, make_page

CELL = (0.62, 0.36)


def figure(data: FigureData) -> Figure:
    """Rows are caches (backend and CR), columns are tasks; cells hold accuracy and interval in percent."""
    tasks = sorted(data.points["task"].unique())
    widths = sorted(data.points["width"].unique())
    lengths = sorted(data.points["length"].unique())
    looks = style.looks(data.points["backend"])
    caches = [
        (backend, ratio)
        for backend in looks
        for ratio in sorted(data.points.loc[data.points["backend"] == backend, "compression_ratio"].unique())
    ]
    page, panels = make_page(
        len(caches),
        len(tasks),
        (max(1.6, CELL[0] * len(lengths)), max(0.7, CELL[1] * len(widths))),
        title=f"{short_model(data.model)}: accuracy over W and L",
        notes=_notes(data),
        row_gap=0.3,
    )
    for column, task in enumerate(tasks):
        points = data.of_task(task)
        head_column(panels[0][column], data.titles[task], counts(points))
        shade = _shade(points)
        for row, (backend, ratio) in enumerate(caches):
            of_cache = points[(points["backend"] == backend) & (points["compression_ratio"] == ratio)]
            _draw_cells(panels[row][column], of_cache, widths, lengths, shade)
    for of_cache_panels, (backend, ratio) in zip(panels, caches, strict=True):
        name = looks[backend].title + ("" if ratio == 1 else f", CR {ratio:g}")
        of_cache_panels[0].set_ylabel(f"{name}\nW (threads)")
    label_row(page, panels[-1], "L (tokens a thread, prompt included)")
    return page


def _draw_cells(axes: Axes, points: pd.DataFrame, widths: list[int], lengths: list[int], shade: Normalize) -> None:
    axes.set(xlim=(0, len(lengths)), ylim=(0, len(widths)))
    axes.set_xticks([i + 0.5 for i in range(len(lengths))], [style.length(length) for length in lengths])
    axes.set_yticks([i + 0.5 for i in range(len(widths))], [str(width) for width in widths])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("#f4f4f4")
    colours = colormaps["Blues"]
    for point in points.to_dict("records"):
        x, y = lengths.index(point["length"]), widths.index(point["width"])
        known = math.isfinite(point["accuracy"])
        level = 0.05 + 0.75 * float(shade(100 * point["accuracy"])) if known else 0.0
        axes.add_patch(
            Rectangle(
                (x, y),
                1,
                1,
                facecolor=colours(level) if known else "white",
                edgecolor="white",
                linewidth=1,
                gid="cell",
            )
        )
        ink = "white" if level > 0.5 else style.INK
        text = f"{100 * point['accuracy']:.1f}" if known else "NaN"
        axes.text(
            x + 0.5,
            y + 0.64,
            text + ("" if point["complete"] else "*"),
            ha="center",
            va="center",
            fontsize=7,
            color=ink,
            gid="accuracy",
        )
        if math.isfinite(point["accuracy_low"]) and math.isfinite(point["accuracy_high"]):
            interval = f"{100 * point['accuracy_low']:.0f}–{100 * point['accuracy_high']:.0f}"
            axes.text(x + 0.5, y + 0.26, interval, ha="center", va="center", fontsize=5.2, color=ink, gid="interval")


def _shade(points: pd.DataFrame) -> Normalize:
    """Shade of a task's cells: from its lowest to its highest accuracy, at least 10 points apart."""
    percent = 100 * points["accuracy"][points["accuracy"].abs() <= 1]
    low, high = (percent.min(), percent.max()) if len(percent) else (0.0, 0.0)
    return Normalize(low, max(high, low + 10), clip=True)


def _notes(data: FigureData) -> list[str]:
    notes = [
        f"A cell is one point: accuracy in percent and its 95 % interval ({INTERVAL_NOTE}). "
        "Shade: from a task's lowest accuracy to its highest. Empty: not in the grid (K = 1024)."
        + (f" Sampling: {data.sampling}." if data.sampling else "")
    ]
    if not data.points["complete"].all():
        notes.append("* Partial run: problems or threads of the full task are missing.")
    return notes
