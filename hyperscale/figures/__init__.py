"""Figures of a results folder. A new one is a file with `figure(data) -> Figure` and its line in FIGURES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from hyperscale.figures import frontiers, grid, pareto, style
from hyperscale.figures.data import FigureData, load, slug
from hyperscale.storage.files import replacing

FIGURES: dict[str, Callable[[FigureData], Figure]] = {
    "frontiers": frontiers.figure,
    "pareto": pareto.figure,
    "grid": grid.figure,
}

# A date in the file would make equal figures differ.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def draw(results: Path, out: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Draw every figure of a results folder into `out`, in each of `formats` (png, pdf, svg).

    Files are `<figure>.<format>`, with the model's name in between where the folder holds several. The same
    points give the same bytes. Returns the paths written. ValueError on an unknown format, a folder without
    points, or points that are no such table.
    """
    unknown = [name for name in formats if name not in _METADATA]
    if unknown or not formats:
        raise ValueError(f"unknown figure format {', '.join(unknown) or '(none)'}: choose from {', '.join(_METADATA)}")
    models = load(results)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for data in models:
        suffix = f"-{slug(data.model)}" if len(models) > 1 else ""
        for name, make in FIGURES.items():
            with matplotlib.rc_context(style.RC):
                page = make(data)
                for extension in dict.fromkeys(formats):
                    path = out / f"{name}{suffix}.{extension}"
                    with replacing(path) as aside:
                        page.savefig(aside, format=extension, dpi=style.DPI, metadata=_METADATA[extension])
                    written.append(path)
    return written
