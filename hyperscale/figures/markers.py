"""Draw the points of a panel: colour by backend, marker by compression ratio, pale and small off the frontier."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hyperscale.figures import style
from hyperscale.figures.overlap import places, rings

BASE, SMALL = 5.0, 3.1
"""Marker sizes on a frontier and off it, in typographic points."""

RING, SMALL_RING = 2.6, 2.1
"""Growth from one ring to the next, white border included, in typographic points: on a frontier, and off it."""
SAME_PLACE = 1.4
"""Distance in typographic points within which points are drawn as rings around one place."""

Drawn = pd.DataFrame
"""Points in drawing order with `percent`, `best` (on its backend's frontier), `place`, `ring` and marker `size`."""


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
