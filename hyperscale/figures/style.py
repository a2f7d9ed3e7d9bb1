"""Define the look that all figures share: colours, markers, tick labels, fonts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
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
"""Settings for `matplotlib.rc_context`: a caller's own neither matter nor change."""

DPI = 200
INK = "#222222"
MUTED = "#666666"


class Look(NamedTuple):
    """Describe how every figure draws a backend: its colour, and the dashes of its frontier (matplotlib's)."""

    title: str
    colour: str
    dash: str | tuple[float, tuple[float, ...]]

    @property
    def pale(self) -> tuple[float, float, float]:
        """Return the colour of dominated points: mixed with white rather than transparent, so nothing tints it."""
        red, green, blue = (PALE * part + 1 - PALE for part in to_rgb(self.colour))
        return red, green, blue

    @property
    def dark(self) -> tuple[float, float, float]:
        """Return the colour of text, darker because letters are thin."""
        red, green, blue = (0.7 * part for part in to_rgb(self.colour))
        return red, green, blue


class Mark(NamedTuple):
    """Describe how a compression ratio is drawn: a marker, and its scale to look as large as a circle."""

    marker: str | tuple[int, int, int]
    scale: float


PALE = 0.5

# Hues stay apart in simulated colour blindness (Machado 2009), pale ones too; dashes differ as well.
_LOOKS = {
    "vanilla": Look("Vanilla", "#2b2b2b", "solid"),
    "dms": Look("DMS", "#1f5fd0", (0, (7, 1))),
    "quest": Look("Quest", "#f0a500", (0, (4, 1.5))),
    "tova": Look("TOVA", "#009e73", (0, (6, 1.2, 1, 1.2))),
    "h2o": Look("H2O", "#c2188f", (0, (2, 1))),
    "dmc": Look("DMC", "#5cc3f0", (0, (4, 1, 1, 1, 1, 1))),
    "random": Look("Random", "#a33b00", (0, (1, 1.2))),
}
_SPARE: list[tuple[str, tuple[float, tuple[float, ...]]]] = [
    ("#8c6d31", (0, (9, 2))),
    ("#7b4ea3", (0, (3, 3))),
    ("#5f7f00", (0, (9, 1, 3, 1))),
    ("#a0522d", (0, (2, 3))),
    ("#800000", (0, (5, 1, 1, 1, 5, 3))),
]

_MARKS = {
    1.0: Mark("o", 1.0),
    2.0: Mark("^", 1.15),
    4.0: Mark("s", 0.92),
    8.0: Mark("D", 0.86),
    16.0: Mark("P", 1.2),
    32.0: Mark("X", 1.2),
}
_SPARE_MARKS = [Mark("v", 1.15), Mark("p", 1.15), Mark("<", 1.15), Mark("*", 1.45), Mark(">", 1.15), Mark("h", 1.1)]


def looks(backends: Iterable[str]) -> dict[str, Look]:
    """Choose the look of each backend, in drawing order: known ones first, others by name."""
    names = set(backends)
    others = sorted(names - _LOOKS.keys())
    spare = {name: Look(name, *_SPARE[i % len(_SPARE)]) for i, name in enumerate(others)}
    return {name: look for name, look in {**_LOOKS, **spare}.items() if name in names}


def marks(ratios: Iterable[float]) -> dict[float, Mark]:
    """Choose the mark of each compression ratio, rising; no two are alike. Usual ratios keep theirs in every figure."""
    found = sorted(set(ratios))
    others = [ratio for ratio in found if ratio not in _MARKS]
    stars = [Mark((rays, 1, 0), 1.3) for rays in range(4, 4 + len(others))]
    spare = dict(zip(others, _SPARE_MARKS + stars, strict=False))
    return {ratio: _MARKS.get(ratio) or spare[ratio] for ratio in found}


def cache_name(title: str, ratio: float) -> str:
    """Name a backend at a compression ratio: `DMS, CR 4`; uncompressed, by its title alone."""
    return title if ratio == 1 else f"{title}, CR {ratio:g}"


def tokens(count: float) -> str:
    """Write a count of tokens in powers of two: `512`, `1.5K`, `64K`, `2M` (K = 1024)."""
    for unit, size in (("G", 2**30), ("M", 2**20), ("K", 2**10)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return f"{count:.4g}"


def length(count: int) -> str:
    """Write a length cap exactly: `16K` where 1024 divides it, else its digits."""
    return f"{count // 1024}K" if count >= 1024 and count % 1024 == 0 else str(count)


def rate(value: float) -> str:
    """Write a rate as a tick label: 0.125, 1.25, 8, 1,024."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def octave_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Choose round ticks of a log2 axis from `low` to `high` (both > 0): powers of two where the range has three."""
    first, last = int(np.floor(np.log2(low))), int(np.ceil(np.log2(high)))
    step = max(1, -(-(last - first) // most))
    for parts in (1, 2, 4):
        powers = range(-(-first // step) * step, last + 1, step)
        ticks = [2.0**power * (1 + part / parts) for power in powers for part in range(parts)]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            return inside
    return [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
