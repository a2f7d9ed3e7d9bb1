"""Set limits and ticks of a panel: accuracy in percent over a logarithmic cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hyperscale.figures import style
from hyperscale.figures.captions import CostAxis
from hyperscale.figures.page import text_size

MOST_TICKS = 8
TICK_GAP = 4.0
"""Least room between two tick labels, in typographic points."""


def scale_axes(axes: Axes, of_task: pd.DataFrame, costs: pd.Series, cost: CostAxis) -> None:
    """Set both axes of a panel. The accuracy's limits cover all of the task's points: the same in every panel."""
    _scale_accuracy(axes, of_task)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    if costs.empty:
        axes.xaxis.set_major_locator(NullLocator())
        axes.text(0.5, 0.5, "no finite point", transform=axes.transAxes, ha="center", color=style.MUTED)
        return
    margin = max(1.15, (costs.max() / costs.min()) ** 0.1)
    low, high = costs.min() / margin, costs.max() * margin
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(axes, low, high, cost.tick)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cost.tick(value)))


def _scale_accuracy(axes: Axes, of_task: pd.DataFrame) -> None:
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


def _ticks(axes: Axes, low: float, high: float, words: Callable[[float], str]) -> list[float]:
    """Choose as many round ticks as have room for their labels: `65,536` needs thrice the room of `64K`."""
    gap = TICK_GAP * axes.figure.dpi / 72
    found: list[float] = []
    for most in range(MOST_TICKS, 0, -1):
        ticks = style.octave_ticks(low, high, most)
        middles = [axes.transData.transform((tick, axes.get_ylim()[0]))[0] for tick in ticks]
        halves = [text_size(axes, words(tick), style.RC["xtick.labelsize"])[0] / 2 for tick in ticks]
        ends = zip(middles, halves, middles[1:], halves[1:], strict=False)
        if all(x + half + gap <= following - its_half for x, half, following, its_half in ends):
            return ticks
        if not found or len(ticks) < len(found):
            found = ticks
    return found
