"""The look that all figures share: colours, markers, tick labels, fonts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "hyperscale",
}
"""Used inside `matplotlib.rc_context`, so that a caller's own settings neither matter nor change."""

DPI = 200
INK = "#222222"
MUTED = "#666666"


class Look(NamedTuple):
    """How a backend is drawn in every figure."""

    title: str
    colour: str
    marker: str


# Okabe and Ito's colours, which the colour-blind tell apart; every backend has a marker of its own too.
_LOOKS = {
    "vanilla": Look("Vanilla", "#3c3c3c", "o"),
    "dms": Look("DMS", "#0072b2", "D"),
    "quest": Look("Quest", "#e69f00", "s"),
    "tova": Look("TOVA", "#009e73", "^"),
    "h2o": Look("H2O", "#cc79a7", "v"),
    "dmc": Look("DMC", "#56b4e9", "P"),
    "random": Look("Random", "#d55e00", "X"),
}
_SPARE = [("#8c6d31", "h"), ("#7b4ea3", "<"), ("#a0522d", ">"), ("#5f7f00", "p"), ("#800000", "d")]


def looks(backends: Iterable[str]) -> dict[str, Look]:
    """Look of each backend, in drawing order: the known ones first, the others by name."""
    names = set(backends)
    others = sorted(names - _LOOKS.keys())
    spare = {name: Look(name, *_SPARE[i % len(_SPARE)]) for i, name in enumerate(others)}
    return {name: look for name, look in {**_LOOKS, **spare}.items() if name in names}


def tokens(count: float) -> str:
    """A count of tokens in powers of two: `512`, `1.5K`, `64K`, `2M` (K = 1024)."""
    for unit, size in (("G", 2**30), ("M", 2**20), ("K", 2**10)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count:.4g}"


def length(count: int) -> str:
    """A length cap, exact: `16K` where 1024 divides it, else its digits."""
    return f"{count // 1024}K" if count >= 1024 and count % 1024 == 0 else str(count)


def rate(value: float) -> str:
    """A rate as a tick shows it: 0.125, 1.25, 8, 1,024."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def octave_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round ticks of a log2 axis from `low` to `high` (both > 0): powers of two where the range has three."""
    first, last = int(np.floor(np.log2(low))), int(np.ceil(np.log2(high)))
    step = max(1, -(-(last - first) // most))
    for parts in (1, 2, 4):
        powers = range(-(-first // step) * step, last + 1, step)
        ticks = [2.0**power * (1 + part / parts) for power in powers for part in range(parts)]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            return inside
    return [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]


def several_ratios(points: pd.DataFrame) -> bool:
    """Whether some backend has points of more than one compression ratio, so that labels must say which."""
    return bool((points.groupby("backend")["compression_ratio"].nunique() > 1).any())
