"""Draw accuracy over W and L as a table of shaded cells: which corner of the grid pays."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hyperscale.figures import style
from hyperscale.figures.data import INTERVAL_NOTE, FigureData, counts, short_model
from hyperscale.figures.page import (
    AXIS_ROOM,
    LEFT,
    PANEL_HEAD,
    RIGHT,
    Page,
    estimated_width,
    head_panel,
    label_below,
    label_left,
    make_page,
)

CELL = (0.5, 0.31)
ROOMY_CELL = 0.66
"""Widest cell, in inches; cells grow up to it where the page would be too narrow for its text."""
CACHE_POINTS = 7.5
CACHE_HEAD, CACHE_GAP, TASK_GAP, SCALE_ROOM = 0.27, 0.16, 0.45, 0.32
NARROWEST_BLOCK = 2.0
"""Least width of a task's block in inches: room for its title and its axis title."""
NARROWEST, WIDEST = 4.2, 9.9
"""Limits of a page's width in inches: room for its text; still readable when scaled to a sheet of paper."""

# The darkest blues are left out to keep numbers readable; white means a cell without a number.
SHADES = LinearSegmentedColormap.from_list("accuracy", colormaps["Blues"]([0.04 + 0.008 * i for i in range(101)]))
SCALE = Normalize(0, 100, clip=True)
"""Full range of accuracies, in percent: a scale from lowest to highest would make noise look like a finding."""
WHITE_INK = 75
"""Accuracy in percent above which a cell is too dark for dark text."""


def draw(data: FigureData) -> Figure:
    """Draw a block per task, a row per backend, a column per CR; cells hold accuracy and interval in percent."""
    tasks = sorted(data.points["task"].unique())
    axis = Axis(sorted(data.points["width"].unique().tolist()), sorted(data.points["length"].unique().tolist()))
    rows = arrange(data.points)
    columns = 1 + max(cache.column for row in rows for cache in row)
    gaps, cells = (columns - 1) * CACHE_GAP, columns * len(axis.lengths)
    roomy = min(ROOMY_CELL, (NARROWEST - LEFT - RIGHT - gaps) / cells)
    longest = max(estimated_width(_name(cache), CACHE_POINTS) for row in rows for cache in row) / len(axis.lengths)
    axis = axis._replace(cell=max(CELL[0], roomy, (NARROWEST_BLOCK - gaps) / cells, longest))
    block = columns * (axis.panel[0] + CACHE_GAP) - CACHE_GAP, len(rows) * (axis.panel[1] + CACHE_HEAD)
    step = block[0] + TASK_GAP, block[1] + AXIS_ROOM + PANEL_HEAD
    across = min(len(tasks), max(1, int((WIDEST - LEFT - RIGHT + TASK_GAP) / step[0])))
    down = -(-len(tasks) // across)
    page = make_page(
        max(NARROWEST - LEFT - RIGHT, across * step[0] - TASK_GAP),
        down * step[1] - AXIS_ROOM - PANEL_HEAD,
        title=f"{short_model(data.model)}: accuracy over W and L",
        notes=_notes(data),
        head_room=SCALE_ROOM,
    )
    _draw_scale(page)
    for number, task in enumerate(tasks):
        left, top = number % across * step[0], number // across * step[1]
        points = data.of_task(task)
        panels = [
            [
                _draw_cache(
                    page,
                    (left, top + row * (axis.panel[1] + CACHE_HEAD)),
                    cache,
                    points,
                    axis,
                    first=cache is caches[0],
                )
                for cache in caches
            ]
            for row, caches in enumerate(rows)
        ]
        head_panel(panels[0][0], data.titles[task], counts(points), lift=72 * CACHE_HEAD - 6)
        for position in range(columns):
            # A column's lowest panel shows the ticks of L; it need not be in the last row.
            lowest = [
                axes
                for caches, of_row in zip(rows, panels, strict=True)
                for cache, axes in zip(caches, of_row, strict=True)
                if cache.column == position
            ][-1]
            lowest.tick_params(labelbottom=True)
        label_below(page.figure, [axes for of_row in panels for axes in of_row], "L (tokens a thread, prompt included)")
        if number % across == 0:
            label_left(page.figure, [of_row[0] for of_row in panels], "W (threads)")
    return page.figure


class Axis(NamedTuple):
    """Hold the W and L of every panel's cells, and a cell's width in inches."""

    widths: list[int]
    lengths: list[int]
    cell: float = CELL[0]

    @property
    def panel(self) -> tuple[float, float]:
        """Return a panel's width and height in inches."""
        return self.cell * len(self.lengths), CELL[1] * len(self.widths)


class Cache(NamedTuple):
    """Identify a backend at a compression ratio, and the column of its panel."""

    backend: str
    ratio: float
    column: int


def arrange(points: pd.DataFrame) -> list[list[Cache]]:
    """Arrange a row of caches per backend; equal CRs share a column. An uncompressed backend takes the first."""
    ratios = {
        backend: sorted(points.loc[points["backend"] == backend, "compression_ratio"].unique().tolist())
        for backend in style.looks(points["backend"])
    }
    columns = sorted({ratio for found in ratios.values() if found != [1] for ratio in found})
    return [
        [Cache(backend, ratio, 0 if found == [1] else columns.index(ratio)) for ratio in found]
        for backend, found in ratios.items()
    ]


def _name(cache: Cache) -> str:
    return style.cache_name(style.looks([cache.backend])[cache.backend].title, cache.ratio)


def _draw_cache(
    page: Page, corner: tuple[float, float], cache: Cache, of_task: pd.DataFrame, axis: Axis, *, first: bool
) -> Axes:
    """Draw a cache's panel, its name above it. Its row begins at `corner`, in inches; the `first` of a row shows W."""
    axes = page.panel(
        corner[0] + cache.column * (axis.panel[0] + CACHE_GAP),
        corner[1] + CACHE_HEAD,
        *axis.panel,
        f"{of_task['task'].iloc[0]} {cache.backend} {cache.ratio:g}",
    )
    axes.annotate(
        _name(cache),
        (0, 1),
        xytext=(1, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=CACHE_POINTS,
        color=style.looks([cache.backend])[cache.backend].dark,
        gid="cache",
    )
    mine = of_task[(of_task["backend"] == cache.backend) & (of_task["compression_ratio"] == cache.ratio)]
    _draw_cells(axes, mine, axis)
    axes.tick_params(labelleft=first, labelbottom=False)
    return axes


def _draw_cells(axes: Axes, points: pd.DataFrame, axis: Axis) -> None:
    axes.set(xlim=(0, len(axis.lengths)), ylim=(0, len(axis.widths)))
    axes.set_xticks([i + 0.5 for i in range(len(axis.lengths))], [style.length(length) for length in axis.lengths])
    axes.set_yticks([i + 0.5 for i in range(len(axis.widths))], [str(width) for width in axis.widths])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("#f4f4f4")
    words: dict[str, Any] = {"ha": "center", "va": "center"}
    for point in points.to_dict("records"):
        x, y = axis.lengths.index(point["length"]), axis.widths.index(point["width"])
        percent = 100 * point["accuracy"]
        known = math.isfinite(percent)
        shade = SHADES(SCALE(percent)) if known else "white"
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor="white", linewidth=1, gid="cell"))
        ink = "white" if known and percent > WHITE_INK else style.INK
        text = (f"{percent:.1f}" if known else "NaN") + ("" if point["complete"] else "*")
        axes.text(x + 0.5, y + 0.65, text, **words, fontsize=7, color=ink, gid="accuracy")
        if math.isfinite(point["accuracy_low"]) and math.isfinite(point["accuracy_high"]):
            interval = f"{100 * point['accuracy_low']:.0f}–{100 * point['accuracy_high']:.0f}"
            axes.text(x + 0.5, y + 0.25, interval, **words, fontsize=5.4, color=ink, gid="interval")


def _draw_scale(page: Page) -> None:
    """Draw the colour bar of accuracy, below the title."""
    axes = page.panel(0, -PANEL_HEAD - SCALE_ROOM + 0.04, 1.8, 0.09, "scale")
    bar = page.figure.colorbar(ScalarMappable(SCALE, SHADES), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks([0, 25, 50, 75, 100])
    axes.tick_params(length=0, pad=2, labelsize=6.5)
    axes.grid(visible=False)
    axes.annotate(
        "accuracy (%)", (1, 0.5), xytext=(9, 0), xycoords="axes fraction", textcoords="offset points", va="center"
    )


def _notes(data: FigureData) -> list[str]:
    notes = [
        f"A cell is one point: accuracy in percent, below it the 95 % interval ({INTERVAL_NOTE}). "
        "Shades run from 0 to 100 % in every figure. Grey: not in the grid. K = 1024."
        + (" CR: compression ratio." if data.points["compression_ratio"].nunique() > 1 else "")
        + (f" Sampling: {data.sampling}." if data.sampling else "")
    ]
    if data.left_out:
        notes.append(data.left_out)
    if not data.points["complete"].all():
        notes.append("* Partial run: problems or threads of the full task are missing.")
    return notes
