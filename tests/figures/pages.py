"""Figures of made-up points, and how to look into them."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from hyperscale.figures import FIGURES, style
from hyperscale.figures.data import FigureData

COSTS = ("kv_reads", "peak_tokens", "throughput")
SINGLE = {"vanilla": [1.0]}


SEVERAL = {"vanilla": [1.0], "dms": [4.0, 8.0], "quest": [4.0]}


def make(name: str, points: pd.DataFrame, sampling: str = "") -> Figure:
    titles = {task: task.upper() for task in points["task"].unique()}
    with matplotlib.rc_context(style.RC):
        page = FIGURES[name](FigureData("org/model", points, titles, sampling))
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
