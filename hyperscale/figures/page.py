"""Lay out a page: panels between a title, a legend and notes, all placed in inches.

matplotlib's constrained layout was tried in its place and is worse: on the tiny sweep the legend covered the title, the
legend's second group its first, an axis title its neighbour's, and the grid's notes its last panel. It also stretches
panels to a page of given size and moves them when drawn, where cells have a size in inches and labels are measured.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hyperscale.figures import style

LEFT, RIGHT, TOP, BOTTOM = 0.62, 0.2, 0.1, 0.1
EDGE = 0.22
"""Left edge of title, legend and notes: left of the panels, in the room of their tick labels and axis titles."""
AXIS_ROOM, PANEL_HEAD = 0.6, 0.42
TITLE_LINE, LEGEND_LINE, NOTE_LINE = 0.2, 0.17, 0.125
TITLE_POINTS, NOTE_POINTS = 9.5, 6.5


class Page(NamedTuple):
    """Hold a figure and the top of its room for panels, in inches from the figure's top."""

    figure: Figure
    top: float

    def panel(self, x: float, y: float, width: float, height: float, name: str = "") -> Axes:
        """Add axes of that size, in inches, with their upper left corner at (x, y) of the room for panels."""
        across, down = self.figure.get_size_inches()
        box = (LEFT + x) / across, 1 - (self.top + y + height) / down, width / across, height / down
        return self.figure.add_axes(box, label=name)


def make_page(
    width: float,
    height: float,
    *,
    title: str,
    legend: Sequence[Sequence[Line2D]] = (),
    notes: Sequence[str] = (),
    head_room: float = 0.0,
) -> Page:
    """Make a page with room for panels of `width` x `height` inches, and around it for their axis titles and heads.

    Each group of `legend` begins a line. `head_room` inches stay free between legend and panels. Positions are
    final, so that labels can be placed by measured sizes.
    """
    across = LEFT + width + RIGHT
    inside = across - EDGE - RIGHT
    title_lines = _wrap(title, inside, TITLE_POINTS, bold=True)
    note_lines = [line for note in notes for line in _wrap(note, inside, NOTE_POINTS)]
    below_title = TOP + TITLE_LINE * len(title_lines)
    rows = [row for group in legend for row in _legend_rows(group, inside)]
    top = below_title + LEGEND_LINE * len(rows) + head_room + PANEL_HEAD
    down = top + height + AXIS_ROOM + NOTE_LINE * len(note_lines) + BOTTOM

    figure = Figure(figsize=(across, down), dpi=style.DPI, facecolor="white")
    FigureCanvasAgg(figure)
    edge = EDGE / across
    figure.text(
        edge,
        1 - TOP / down,
        "\n".join(title_lines),
        ha="left",
        va="top",
        fontsize=TITLE_POINTS,
        fontweight="bold",
        color=style.INK,
    )
    for number, row in enumerate(rows):
        figure.legend(
            handles=row,
            loc="upper left",
            bbox_to_anchor=(edge, 1 - (below_title + LEGEND_LINE * number) / down),
            ncols=len(row),
            borderpad=0.0,
            borderaxespad=0.0,
            # A line needs the length of its dashes, a marker only its own width.
            handlelength=2.6 if any(key.get_linestyle() != "None" for key in row) else 0.9,
            columnspacing=1.4,
            handletextpad=0.5,
        )
    for number, line in enumerate(note_lines):
        figure.text(
            edge,
            (BOTTOM + NOTE_LINE * (len(note_lines) - 1 - number)) / down,
            line,
            ha="left",
            va="bottom",
            fontsize=NOTE_POINTS,
            color=style.MUTED,
        )
    return Page(figure, top)


def head_panel(axes: Axes, title: str, subtitle: str, *, lift: float = 0.0) -> None:
    """Write a title and subtitle over the first panel of a block, `lift` typographic points higher."""
    words: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(title, (0, 1), xytext=(0, 15 + lift), **words, fontsize=8.5, fontweight="bold", color=style.INK)
    axes.annotate(subtitle, (0, 1), xytext=(0, 5.5 + lift), **words, fontsize=6.5, color=style.MUTED)


def label_below(figure: Figure, axes: Sequence[Axes], text: str) -> None:
    """Write one x-axis label centred below panels; its bracket goes to a second line where it is too wide."""
    boxes = [each.get_position() for each in axes]
    left, right = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
    label = figure.text(
        (left + right) / 2,
        min(box.y0 for box in boxes) - 0.24 / figure.get_figheight(),
        text,
        ha="center",
        va="top",
        fontsize=7.5,
        color=style.INK,
    )
    if label.get_window_extent().width > (right - left) * figure.bbox.width:
        label.set_text(text.replace(" (", "\n(", 1))


def label_left(figure: Figure, axes: Sequence[Axes], text: str) -> None:
    """Write one y-axis label centred left of stacked panels."""
    top, bottom = axes[0].get_position(), axes[-1].get_position()
    figure.text(
        EDGE / figure.get_figwidth(),
        (top.y1 + bottom.y0) / 2,
        text,
        rotation=90,
        ha="left",
        va="center",
        fontsize=7.5,
        color=style.INK,
    )


def text_size(axes: Axes, text: str, points: float) -> tuple[float, float]:
    """Measure width and height of a text in pixels, at a font size in typographic points."""
    probe = axes.text(0, 0, text, fontsize=points)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height


def estimated_width(text: str, points: float) -> float:
    """Estimate a text's width in inches, before there is a page to measure it on."""
    return len(text) * _letter(points)


def _legend_rows(keys: Sequence[Line2D], inches: float) -> list[list[Line2D]]:
    """Break keys into rows of at most that width, in their order: matplotlib fills columns first."""
    rows: list[list[Line2D]] = [[]]
    used = 0.0
    for key in keys:
        width = (0.34 if key.get_linestyle() == "None" else 0.52) + len(str(key.get_label())) * 0.5 * 7.5 / 72
        if rows[-1] and used + width > inches:
            rows.append([])
            used = 0.0
        rows[-1].append(key)
        used += width
    return rows


def _wrap(text: str, inches: float, points: float, *, bold: bool = False) -> list[str]:
    """Wrap text to that width, by the mean width of a letter."""
    return textwrap.wrap(text, max(20, int(inches / _letter(points, bold))))


def _letter(points: float, bold: bool = False) -> float:
    """Return the mean width of a letter of DejaVu Sans in inches."""
    return points / 72 * (0.62 if bold else 0.53)
