"""Figures of made-up points, and how to look into them."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

from hyperscale.figures import FIGURES, style
from hyperscale.figures.data import FigureData

COSTS = ("kv_reads", "peak_tokens", "throughput")
SINGLE = {"vanilla": [1.0]}


SEVERAL = {"vanilla": [1.0], "dms": [4.0, 8.0], "quest": [4.0]}


def make(name: str, points: pd.DataFrame, sampling: str = "") -> Figure:
    titles = {task: task.upper() for task in points["task"].unique()}
    with matplotlib.rc_context(style.RC):
        page = FIGURES.load(name)(FigureData("org/model", points, titles, sampling))
        page.draw_without_rendering()
    return page


def panel(page: Figure, task: str, cost: str) -> Axes:
    (axes,) = (axes for axes in page.axes if axes.get_label() == f"{task} {cost}")
    return axes


def corners(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata(), dtype=float)]


def marked(axes: Axes, gid: str) -> list[tuple[float, float]]:
    """(x, y) of every marker that the panel holds under that name."""
    return [xy for line in axes.lines if line.get_gid() == gid for xy in corners(line)]


def words(page: Figure) -> str:
    return "\n".join(text.get_text() for text in page.findobj(Text))


def labels(axes: Axes) -> list[Text]:
    return [text for text in axes.texts if text.get_gid() in ("label", "chance label")]


def visible_texts(page: Figure) -> list[Text]:
    """Every text that is drawn: findobj also finds the labels of ticks beyond an axis's limits, which are not."""
    undrawn = set()
    for axes in page.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    undrawn |= {tick.label1, tick.label2}
    return [
        text
        for text in page.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in undrawn and Text.get_window_extent(text).width
    ]


def check_layout(page: Figure) -> None:
    """Fail where a text or a panel is cut off by the page's edge, or overlaps another by more than a pixel."""
    page.draw_without_rendering()
    texts = visible_texts(page)
    # Text's own extent: an annotation's would take in the line that ties it to its point.
    _check_apart([(repr(text.get_text()), Text.get_window_extent(text)) for text in texts], page)
    _check_apart([(f"panel {axes.get_label()!r}", axes.get_window_extent()) for axes in page.axes], page)


def _check_apart(named: list[tuple[str, BboxBase]], page: Figure) -> None:
    names = [name for name, _ in named]
    x0, y0, x1, y1 = np.array([box.extents for _, box in named]).T
    inside = (x0 >= -1) & (y0 >= -1) & (x1 <= page.bbox.width + 1) & (y1 <= page.bbox.height + 1)
    assert inside.all(), f"cut off: {[names[i] for i in np.flatnonzero(~inside)]}"
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    down = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    pairs = np.argwhere(np.triu((across > 1) & (down > 1), k=1))
    assert len(pairs) == 0, f"overlap: {[(names[a], names[b]) for a, b in pairs]}"
