"""A figure's page: panels in rows and columns between a title, a legend and notes, all sized in inches."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hyperscale.figures import style

LEFT, RIGHT, TOP, BOTTOM = 0.62, 0.2, 0.1, 0.1
COLUMN_GAP, ROW_GAP, AXIS_ROOM, COLUMN_HEAD = 0.48, 0.66, 0.6, 0.42
TITLE_LINE, LEGEND_LINE, NOTE_LINE, LEGEND_COLUMN = 0.2, 0.17, 0.125, 1.32
TITLE_POINTS, NOTE_POINTS = 9.5, 6.5


def make_page(
    rows: int,
    columns: int,
    panel: tuple[float, float],
    *,
    title: str,
    legend: Sequence[Artist] = (),
    notes: Sequence[str] = (),
    row_gap: float = ROW_GAP,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with rows x columns panels of `panel` (width, height) inches, and its axes by row.

    Positions are fixed at once, so that labels can be placed by measured sizes; nothing moves afterwards.
    """
    width = LEFT + columns * panel[0] + (columns - 1) * COLUMN_GAP + RIGHT
    inside = width - LEFT - RIGHT + 0.4
    title_lines = _wrap(title, inside, TITLE_POINTS, bold=True)
    note_lines = [line for note in notes for line in _wrap(note, inside, NOTE_POINTS)]
    legend_columns = max(1, int(inside / LEGEND_COLUMN))
    legend_rows = -(-len(legend) // legend_columns)
    head = TOP + TITLE_LINE * len(title_lines) + LEGEND_LINE * legend_rows + COLUMN_HEAD
    foot = AXIS_ROOM + NOTE_LINE * len(note_lines) + BOTTOM
    height = head + rows * panel[1] + (rows - 1) * row_gap + foot

    figure = Figure(figsize=(width, height), dpi=style.DPI, facecolor="white")
    FigureCanvasAgg(figure)
    edge = (LEFT - 0.4) / width
    figure.text(
        edge,
        1 - TOP / height,
        "\n".join(title_lines),
        ha="left",
        va="top",
        fontsize=TITLE_POINTS,
        fontweight="bold",
        color=style.INK,
    )
    if legend:
        figure.legend(
            handles=list(legend),
            loc="upper left",
            bbox_to_anchor=(edge, 1 - (TOP + TITLE_LINE * len(title_lines)) / height),
            ncols=min(legend_columns, len(legend)),
            borderpad=0.0,
            borderaxespad=0.0,
            handlelength=1.8,
            columnspacing=1.4,
            handletextpad=0.5,
        )
    for number, line in enumerate(reversed(note_lines)):
        figure.text(
            edge,
            (BOTTOM + NOTE_LINE * number) / height,
            line,
            ha="left",
            va="bottom",
            fontsize=NOTE_POINTS,
            color=style.MUTED,
        )
    axes = [
        [
            figure.add_axes(
                (
                    (LEFT + column * (panel[0] + COLUMN_GAP)) / width,
                    1 - (head + row * (panel[1] + row_gap) + panel[1]) / height,
                    panel[0] / width,
                    panel[1] / height,
                )
            )
            for column in range(columns)
        ]
        for row in range(rows)
    ]
    return figure, axes


def head_column(axes: Axes, title: str, subtitle: str) -> None:
    """Title of a column of panels, over its topmost: a task and what its numbers rest on."""
    axes.annotate(
        title,
        (0, 1),
        xytext=(0, 15),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        fontweight="bold",
        color=style.INK,
    )
    axes.annotate(
        subtitle,
        (0, 1),
        xytext=(0, 5.5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=6.5,
        color=style.MUTED,
    )


def label_row(figure: Figure, axes: Sequence[Axes], text: str) -> None:
    """One x-axis label for neighbouring panels, centred below; its bracket takes a second line if need be."""
    left, right = axes[0].get_position(), axes[-1].get_position()
    label = figure.text(
        (left.x0 + right.x1) / 2,
        left.y0 - 0.24 / figure.get_figheight(),
        text,
        ha="center",
        va="top",
        fontsize=7.5,
        color=style.INK,
    )
    if label.get_window_extent().width > (right.x1 - left.x0) * figure.bbox.width:
        label.set_text(text.replace(" (", "\n(", 1))


def _wrap(text: str, inches: float, points: float, *, bold: bool = False) -> list[str]:
    """Lines of at most that width, by the mean width of a letter of the font."""
    letter = points / 72 * (0.62 if bold else 0.51)
    return textwrap.wrap(text, max(20, int(inches / letter)))
