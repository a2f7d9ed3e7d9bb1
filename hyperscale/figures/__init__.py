"""Draw the figures of a results folder.

A figure is one file here with `draw(data: FigureData) -> Figure` and its line in FIGURES; an installed package adds one
through the entry-point group `hyperscale.figures`, a file of the user's is asked for as `PATH.py:NAME`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.figure import Figure

from hyperscale.figures import style
from hyperscale.figures.data import FigureData, load, slug
from hyperscale.plugins import Registry, is_file_reference
from hyperscale.storage.files import replacing

Drawing = Callable[[FigureData], Figure]
"""Draws one model's points. It is called within `matplotlib.rc_context(style.RC)` and leaves the points unchanged."""


def _accept(found: object) -> Drawing:
    if not callable(found):
        raise ValueError(f"expected a function draw(data) -> matplotlib Figure, got {type(found).__name__}")
    return cast(Drawing, found)


FIGURES: Registry[Drawing] = Registry(
    kind="figure",
    builtins={
        "frontiers": "hyperscale.figures.frontiers:draw",
        "pareto": "hyperscale.figures.pareto:draw",
        "grid": "hyperscale.figures.grid:draw",
        "gains": "hyperscale.figures.gains:draw",
    },
    group="hyperscale.figures",
    accept=_accept,
)

# A date in the file would make equal figures differ.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def draw(
    results: Path, out: Path, formats: Sequence[str] = ("png", "pdf"), figures: Sequence[str] | None = None
) -> list[Path]:
    """Draw the named `figures` of a results folder into `out`, in each of `formats` (png, pdf, svg); return the paths.

    None stands for every figure; a plugin that cannot be loaded is then left out with a warning. Files are
    `<figure>.<format>`, with the model's name in between where the folder holds several models. The same points give
    the same bytes. Raises ValueError on an unknown format or figure, a figure named that cannot be loaded, a folder
    without points, or points that lack columns.
    """
    unknown = [name for name in formats if name not in _METADATA]
    if unknown or not formats:
        raise ValueError(f"unknown figure format {', '.join(unknown) or '(none)'}: choose from {', '.join(_METADATA)}")
    drawings = _every() if figures is None else {name: FIGURES.load(name) for name in figures}
    if not drawings:
        raise ValueError(f"no figure named: choose from {', '.join(FIGURES.names())}")
    files = {name: _file_name(name) for name in drawings}
    if twice := [name for name, file in files.items() if list(files.values()).count(file) > 1]:
        raise ValueError(f"figures {' and '.join(twice)} would be written to one file: draw them in separate calls")
    models = load(results)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for data in models:
        suffix = f"-{slug(data.model)}" if len(models) > 1 else ""
        for name, drawing in drawings.items():
            with matplotlib.rc_context(style.RC):
                page = drawing(data)
                if not isinstance(page, Figure):
                    raise ValueError(f"figure {name!r} returned {type(page).__name__}: return a matplotlib Figure")
                for extension in dict.fromkeys(formats):
                    path = out / f"{files[name]}{suffix}.{extension}"
                    with replacing(path) as aside:
                        page.savefig(aside, format=extension, dpi=style.DPI, metadata=_METADATA[extension])
                    written.append(path)
    return written


def _every() -> dict[str, Drawing]:
    """Load all figures but the plugins that cannot be loaded: they fail only when asked for by name."""
    drawings = {name: FIGURES.load(name) for name in FIGURES.builtins}
    for name in FIGURES.names()[len(drawings) :]:
        try:
            drawings[name] = FIGURES.load(name)
        except ValueError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
    return drawings


def _file_name(figure: str) -> str:
    """Name a figure's file: `mine-draw` for `path/mine.py:draw`."""
    if is_file_reference(figure):
        path, _, name = figure.rpartition(":")
        figure = f"{Path(path).stem}-{name}"
    return re.sub(r"[^\w.]+", "-", figure)
