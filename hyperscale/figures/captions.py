"""Write the words around the figures of cost: axis names, legend and notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from hyperscale.analysis.pareto import MAXIMISED
from hyperscale.figures import style
from hyperscale.figures.data import INTERVAL_NOTE, FigureData
from hyperscale.figures.markers import BASE, SMALL


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
