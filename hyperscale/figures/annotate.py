"""Draw the points of a panel and write W–L beside them.

Colour tells the backend, marker the compression ratio; points off the frontier are pale and small.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from hyperscale.figures import style
from hyperscale.figures.labels import STRICT, Box, Label, Segment, place, places, rings
from hyperscale.figures.page import text_size

BASE, SMALL = 5.0, 3.1
"""Marker sizes on a frontier and off it, in typographic points."""

RING, SMALL_RING = 2.6, 2.1
"""Growth from one ring to the next, white border included, in typographic points: on a frontier, and off it."""
SAME_PLACE = 1.4
"""Distance in typographic points within which points are drawn as rings around one place."""

Drawn = pd.DataFrame
"""Points in drawing order with `percent`, `best` (on its backend's frontier), `place`, `ring` and marker `size`."""

LABEL_POINTS = 6.0
GAP_POINTS = 3.6
LEADER_GAPS = 1.6
"""Distance from its point, in gaps, beyond which a label gets a leader line."""


def arrange(axes: Axes, points: pd.DataFrame, optimal: pd.Series, column: str, order: list[str]) -> Drawn:
    """Order points for drawing and size their markers: frontiers first, then backends in `order`.

    `axes` have their scale already: points share a place by their distance in pixels.
    """
    rank = points["backend"].map({backend: number for number, backend in enumerate(order)}).astype(float)
    drawn = points.assign(best=optimal, rank=rank, percent=100 * points["accuracy"])
    drawn = drawn.sort_values(
        ["best", "rank", "compression_ratio", column], ascending=[False, True, True, True], kind="stable"
    ).reset_index(drop=True)
    pixels = axes.transData.transform(drawn[[column, "percent"]].to_numpy(float))
    place = places(pixels, SAME_PLACE * axes.figure.dpi / 72)
    kinds = list(zip(drawn["best"], drawn["backend"], drawn["compression_ratio"], drawn["complete"], strict=True))
    ring = np.array(rings(place, kinds), dtype=float)
    # A place's first point is innermost: one of a frontier, if the place has any.
    inner = drawn["best"].to_numpy(bool)[place]
    step = np.where(drawn["best"], RING, SMALL_RING)
    return drawn.assign(place=place, ring=ring, size=np.where(inner, BASE, SMALL) + step * ring)


def draw_markers(
    axes: Axes, drawn: Drawn, column: str, looks: dict[str, style.Look], marks: dict[float, style.Mark]
) -> None:
    """Draw every point at its true place; points at one place become concentric rings."""
    kinds = ["best", "backend", "compression_ratio", "complete", "ring", "size"]
    for _, group in drawn.groupby(kinds, sort=True):
        kind = group.iloc[0]
        best, whole = bool(kind["best"]), bool(kind["complete"])
        mark, look = marks[kind["compression_ratio"]], looks[kind["backend"]]
        colour = look.colour if best else look.pale
        axes.plot(
            group[column],
            group["percent"],
            linestyle="none",
            marker=mark.marker,
            markersize=kind["size"] * mark.scale,
            markeredgewidth=0.7 if best or not whole else 0.4,
            markeredgecolor="white" if whole else colour,
            markerfacecolor=colour if whole else "white",
            # Outer rings lie below inner ones, dominated points below those of frontiers.
            zorder=(3 if best else 2) + 0.4 / (1 + kind["ring"]),
            gid="frontier points" if best else "dominated points",
        )


def label_points(
    axes: Axes,
    drawn: Drawn,
    column: str,
    looks: dict[str, style.Look],
    chance: float,
    *,
    rising: bool,
    everything: bool,
    strict: bool,
) -> None:
    """Label a panel's points with their W–L where there is room, frontiers first.

    Markers of `drawn` stand at (`column`, `percent`) already. `rising`: frontiers climb to the right, so their upper
    left side is free. `everything`: dominated points get labels too. `strict`: a label that would cover a
    frontier's marker is dropped.
    """
    pixel = axes.figure.dpi / 72
    xy = axes.transData.transform(drawn[[column, "percent"]].to_numpy(float))
    markers = [Box.around(x, y, size * pixel, size * pixel) for (x, y), size in zip(xy, drawn["size"], strict=True)]
    best = drawn["best"].tolist()
    solid = [marker for marker, first in zip(markers, best, strict=True) if first or everything]
    faint = [marker for marker, first in zip(markers, best, strict=True) if not (first or everything)]
    shown = _shared(drawn if everything else drawn[drawn["best"]])
    sizes = {name: text_size(axes, name, LABEL_POINTS) for name in {name for _, name, _ in shown}}
    chance_box = _label_chance(axes, chance, markers) if chance > 0 else None
    centres = place(
        [Label(xy[at][0], xy[at][1], *sizes[name], best[at]) for at, name, _ in shown],
        bounds=Box(*axes.bbox.extents),
        markers=solid,
        faint=faint,
        lines=_lines(axes, drawn, column, chance, rising=rising, intervals=not strict),
        taken=[chance_box] if chance_box else [],
        gap=GAP_POINTS * pixel,
        lean=135 if rising else 45,
        most=STRICT if strict else math.inf,
    )
    for (at, name, backends), centre in zip(shown, centres, strict=True):
        if centre is None:
            continue
        x, y = xy[at]
        # A label that several backends share takes none of their colours.
        colour = looks[backends[0]].dark if len(backends) == 1 else style.INK
        width, height = sizes[name]
        apart = max(abs(centre[0] - x) - width / 2, abs(centre[1] - y) - height / 2)
        leader = {"arrowstyle": "-", "linewidth": 0.4, "color": colour, "alpha": 0.7, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            name,
            tuple(axes.transData.inverted().transform((x, y))),
            xytext=((centre[0] - x) / pixel, (centre[1] - y) / pixel),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=LABEL_POINTS,
            color=colour,
            alpha=1.0 if best[at] else 0.65,
            path_effects=[withStroke(linewidth=1.4, foreground="white")],
            arrowprops=leader if apart > LEADER_GAPS * GAP_POINTS * pixel else None,
            zorder=4,
            gid="label",
        )


def point_name(width: int, length: int) -> str:
    """Name a point by W and the cap on L: `4–16K`. Colour and marker tell its backend and compression ratio."""
    return f"{width}–{style.length(length)}"


def _shared(points: Drawn) -> list[tuple[int, str, list[str]]]:
    """List the labels to set: (row of the point, text, backends). Points at one place with one W–L share a label."""
    found: dict[tuple[int, bool, str], tuple[int, list[str]]] = {}
    columns = (points[name] for name in ("place", "best", "width", "length", "backend"))
    for row, where, best, width, length, backend in zip(points.index, *columns, strict=True):
        _, backends = found.setdefault((where, best, point_name(width, length)), (int(row), []))
        if backend not in backends:
            backends.append(backend)
    return [(row, name, backends) for (_, _, name), (row, backends) in found.items()]


def _label_chance(axes: Axes, chance: float, markers: list[Box]) -> Box:
    """Name the chance level at the end of its line that covers fewer markers; return the name's box."""
    text = f"chance {100 * chance:.3g} %"
    width, height = text_size(axes, text, LABEL_POINTS)
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


def _lines(axes: Axes, drawn: Drawn, column: str, chance: float, *, rising: bool, intervals: bool) -> list[Segment]:
    """List the lines that a label should not cross: frontiers, `intervals` on them, the chance level."""

    def pixels(x: float, y: float) -> tuple[float, float]:
        at = axes.transData.transform((x, y))
        return float(at[0]), float(at[1])

    segments: list[Segment] = []
    for _, pool in drawn[drawn["best"]].groupby("backend"):
        line = pool.sort_values(column)
        corners = [pixels(x, y) for x, y in zip(line[column], line["percent"], strict=True)]
        for (x0, y0), (x1, y1) in pairwise(corners):
            level, rise = (y0, x1) if rising else (y1, x0)
            segments += [(x0, level, x1, level), (rise, y0, rise, y1)]
        known = line.dropna(subset=["accuracy_low", "accuracy_high"]) if intervals else line.iloc[:0]
        whiskers = zip(known[column], known["accuracy_low"], known["accuracy_high"], strict=True)
        segments += [(*pixels(x, 100 * low), *pixels(x, 100 * high)) for x, low, high in whiskers]
    if chance > 0:
        left, right = axes.get_xlim()
        segments.append((*pixels(left, 100 * chance), *pixels(right, 100 * chance)))
    return segments
