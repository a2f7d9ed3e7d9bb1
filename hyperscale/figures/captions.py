"""Set axes, legend and notes of the figures of cost: accuracy in percent over a logarithmic cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hyperscale.analysis.pareto import MAXIMISED
from hyperscale.figures import style
from hyperscale.figures.annotate import BASE, SMALL
from hyperscale.figures.data import INTERVAL_NOTE, FigureData
from hyperscale.figures.page import text_size

MOST_TICKS = 8
TICK_GAP = 4.0
"""Least room between two tick labels, in typographic points."""


class CostAxis(NamedTuple):
    """Describe a cost axis: its column of POINTS, its short and full name, the format of its ticks."""

    column: str
    name: str
    label: str
    tick: Callable[[float], str]

    @property
    def stairs(self) -> str:
        """Return matplotlib's drawstyle of a frontier: at each budget the best point within it."""
        return "steps-pre" if self.column in MAXIMISED else "steps-post"


COSTS = (
    CostAxis(
        "kv_reads",
        "reads",
        "KV-cache reads per problem (tokens, mean over layers and KV heads)",
        style.tokens,
    ),
    CostAxis(
        "peak_tokens",
        "peak",
        "Peak KV cache per problem (tokens, mean over layers and KV heads)",
        style.tokens,
    ),
    CostAxis("throughput", "throughput", "Throughput (problems per minute; more is better)", style.rate),
)


def drawable(points: pd.DataFrame, column: str) -> pd.Series:
    """Tell the points that a logarithmic cost axis can show: finite, with a cost above 0."""
    found: pd.Series = np.isfinite(points[column]) & np.isfinite(points["accuracy"]) & (points[column] > 0)
    return found


def backend_keys(points: pd.DataFrame) -> list[Line2D]:
    """Make a legend key per backend: its line, its title, its CRs unless uncompressed."""
    keys = []
    for name, look in style.looks(points["backend"]).items():
        ratios = sorted(points.loc[points["backend"] == name, "compression_ratio"].unique())
        values = "" if ratios == [1] else f" (CR {', '.join(f'{ratio:g}' for ratio in ratios)})"
        keys.append(Line2D([], [], label=look.title + values, color=look.colour, linestyle=look.dash, linewidth=1.4))
    return keys


def legend(points: pd.DataFrame) -> list[list[Line2D]]:
    """Make groups of legend keys: backends; then CRs, dominated points, intervals. One group for one backend."""

    def key(label: str, **kwargs: Any) -> Line2D:
        return Line2D([], [], label=label, **{"markersize": BASE, "markeredgewidth": 0.7, **kwargs})

    backends = backend_keys(points)
    grey = {"color": style.MUTED, "linestyle": "none", "markeredgecolor": "white"}
    marks = style.marks(points["compression_ratio"])
    several = len(marks) > 1
    keys: list[Line2D] = [
        key(
            ("CR 1 (uncompressed)" if ratio == 1 else f"CR {ratio:g}") if several else "on its frontier",
            **{**grey, "marker": mark.marker, "markersize": BASE * mark.scale},
        )
        for ratio, mark in marks.items()
    ]
    first = next(iter(marks.values())).marker
    keys.append(key("dominated (small, pale)", **{**grey, "color": "#b2b2b2", "marker": first, "markersize": SMALL}))
    if not points["complete"].all():
        keys.append(
            key("partial run", **{**grey, "marker": first, "markeredgecolor": style.MUTED}, markerfacecolor="w")
        )
    keys.append(key("95 % interval (frontier only)", color=style.MUTED, marker="|", linestyle="none", markersize=8))
    return [backends, keys] if len(backends) > 1 else [backends + keys]


def notes(data: FigureData, *, bare: bool) -> list[str]:
    """Say how to read the Pareto figure and which points it omits; `bare` where dominated points have no labels."""
    several = data.points["compression_ratio"].nunique() > 1
    lines = [
        "A label reads W–L: W parallel threads a problem, each capped at L tokens, prompt included (K = 1024). "
        + ("CR: compression ratio. " if several else "")
        + "Staircases are Pareto frontiers: at each budget the best point within it"
        + (", one a backend over all its CRs" if several else "")
        + "; cost axes are logarithmic. "
        + "Only frontier points have their 95 % intervals drawn"
        + (" and, where there is room, labels" if bare else "")
        + f" ({INTERVAL_NOTE}). Points that coincide are drawn as concentric rings"
        + ("; a black label then names several." if data.points["backend"].nunique() > 1 else ".")
        + (f" Sampling: {data.sampling}." if data.sampling else "")
    ]
    if not data.points["complete"].all():
        lines.append("Partial run: hollow points miss problems or threads of the full task, and may move.")
    left_out = [
        f"{bad} of {len(data.of_task(task))} points of {data.titles[task]} in {cost.name}"
        for task in sorted(data.points["task"].unique())
        for cost in COSTS
        if (bad := int((~drawable(data.of_task(task), cost.column)).sum()))
    ]
    if left_out:
        lines.append(f"Left out, as their numbers are not finite: {'; '.join(left_out)}.")
    if data.left_out:
        lines.append(data.left_out)
    return lines


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
