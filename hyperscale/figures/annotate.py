"""Writes W–L beside the points of a panel."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke

from hyperscale.figures import style
from hyperscale.figures.labels import Box, Label, Segment, place

LABEL_POINTS = 6.0
GAP_POINTS = 3.6
MARKER_POINTS = 5.0
LEADER_GAPS = 3
"""A label that stands farther off than so many gaps is tied to its point by a line."""


def label_points(
    axes: Axes,
    points: pd.DataFrame,
    optimal: pd.Series,
    column: str,
    looks: dict[str, style.Look],
    chance: float,
    *,
    rising: bool,
) -> None:
    """Label the panel's points with their W–L (and CR), frontiers first, where there is room.

    `points` are drawn already, at (`column`, accuracy in percent); `optimal` says which are on a frontier,
    and `rising` whether frontiers climb to the right, which leaves their upper left side free.
    """
    pixel = axes.figure.dpi / 72
    several = style.several_ratios(points)
    ordered = points.sort_values(["backend", column], kind="stable")
    names = [point_name(point, several) for point in ordered.to_dict("records")]
    xy = axes.transData.transform(ordered[[column]].assign(y=100 * ordered["accuracy"]).to_numpy(float))
    sizes = {name: _measure(axes, name) for name in names}
    markers = [Box.around(x, y, MARKER_POINTS * pixel, MARKER_POINTS * pixel) for x, y in xy]
    bounds = Box(*axes.bbox.extents)
    chance_box = _label_chance(axes, chance, markers) if chance > 0 else None
    needed = optimal[ordered.index].tolist()
    centres = place(
        [Label(x, y, *sizes[name], must) for (x, y), name, must in zip(xy, names, needed, strict=True)],
        bounds=bounds,
        markers=markers,
        lines=_lines(axes, ordered, optimal, column, chance),
        taken=[chance_box] if chance_box else [],
        gap=GAP_POINTS * pixel,
        lean=135 if rising else 45,
    )
    for (x, y), centre, name, must, backend in zip(xy, centres, names, needed, ordered["backend"], strict=True):
        if centre is None:
            continue
        colour = _darker(looks[backend].colour)
        width, height = sizes[name]
        apart = max(abs(centre[0] - x) - width / 2, abs(centre[1] - y) - height / 2)
        leader = {"arrowstyle": "-", "linewidth": 0.4, "color": colour, "alpha": 0.6, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            name,
            tuple(axes.transData.inverted().transform((x, y))),
            xytext=((centre[0] - x) / pixel, (centre[1] - y) / pixel),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=LABEL_POINTS,
            color=colour,
            alpha=1.0 if must else 0.6,
            path_effects=[withStroke(linewidth=1.4, foreground="white")],
            arrowprops=leader if apart > LEADER_GAPS * GAP_POINTS * pixel else None,
            zorder=4,
            gid="label",
        )


def point_name(point: Mapping[Any, Any], several_ratios: bool) -> str:
    """`4–16K`, or `4–16K–8` where points of different compression ratios must be told apart."""
    name, ratio = f"{point['width']}–{style.length(point['length'])}", point["compression_ratio"]
    return f"{name}–{ratio:g}" if several_ratios and ratio != 1 else name


def _measure(axes: Axes, text: str) -> tuple[float, float]:
    probe = axes.text(0, 0, text, fontsize=LABEL_POINTS)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height


def _label_chance(axes: Axes, chance: float, markers: list[Box]) -> Box:
    """Name the chance level, at the end of its line that covers fewer markers."""
    text = f"chance {100 * chance:.3g} %"
    width, height = _measure(axes, text)
    left, _, right, _ = axes.bbox.extents
    y = axes.transData.transform((axes.get_xlim()[0], 100 * chance))[1] + height / 2 + 2
    boxes = [Box.around(x, y, width, height) for x in (right - width / 2 - 5, left + width / 2 + 5)]
    box = min(boxes, key=lambda box: sum(box.overlaps(marker) for marker in markers))
    x, y = axes.transAxes.inverted().transform(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=LABEL_POINTS,
        color=style.MUTED,
        gid="chance label",
    )
    return box


def _lines(axes: Axes, points: pd.DataFrame, optimal: pd.Series, column: str, chance: float) -> list[Segment]:
    """What a label should not cross: frontiers, the intervals on them, the chance level."""

    def pixels(x: float, y: float) -> tuple[float, float]:
        at = axes.transData.transform((x, y))
        return float(at[0]), float(at[1])

    segments: list[Segment] = []
    for _, pool in points[optimal[points.index]].groupby("backend"):
        corners = [pixels(x, 100 * y) for x, y in zip(pool[column], pool["accuracy"], strict=True)]
        segments += [(*start, *end) for start, end in pairwise(corners)]
        known = pool.dropna(subset=["accuracy_low", "accuracy_high"])
        whiskers = zip(known[column], known["accuracy_low"], known["accuracy_high"], strict=True)
        segments += [(*pixels(x, 100 * low), *pixels(x, 100 * high)) for x, low, high in whiskers]
    if chance > 0:
        left, right = axes.get_xlim()
        segments.append((*pixels(left, 100 * chance), *pixels(right, 100 * chance)))
    return segments


def _darker(colour: str) -> tuple[float, float, float]:
    red, green, blue = to_rgb(colour)
    return 0.7 * red, 0.7 * green, 0.7 * blue
