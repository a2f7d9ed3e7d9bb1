"""What the figures are drawn from: the points of one model, and what the manifest says of them."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hyperscale.analysis.pareto import require_columns
from hyperscale.results.manifest import read_manifest
from hyperscale.results.schema import POINTS
from hyperscale.storage.files import is_local, read

INTERVAL_NOTE = "bootstrap over problems; Clopper–Pearson where all problems score the same"


class FigureData(NamedTuple):
    """POINTS of one model with the words around them."""

    model: str
    points: pd.DataFrame
    titles: dict[str, str]
    """Title of each task."""
    sampling: str
    """How tokens were drawn, in words; empty where no manifest says it."""

    def of_task(self, task: str) -> pd.DataFrame:
        """Points of one task."""
        return self.points[self.points["task"] == task]


def load(results: Path) -> list[FigureData]:
    """Figure data of a results folder, on a disk or behind a URL; one for each model in it.

    ValueError where the folder or its points are missing, empty or unreadable.
    """
    path = results / "points.parquet"
    if is_local(results) and not results.is_dir():
        raise ValueError(f"no results folder at {results}: name the --output-dir of a sweep")
    try:
        content = read(path)
    except FileNotFoundError:
        raise ValueError(f"{results} holds no points.parquet: finish a sweep there first") from None
    manifest = read_manifest(results) or {}
    try:
        points = pd.read_parquet(BytesIO(content))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as parquet ({' '.join(str(error).split())}): run the sweep again"
        ) from error
    require_columns(points, [column.name for column in POINTS], "points")
    if points.empty:
        raise ValueError(f"{path} holds no points: let the sweep finish at least one problem")
    tasks = manifest.get("tasks", {})
    titles = {task: tasks.get(task, {}).get("title", task) for task in points["task"].unique()}
    sampling = describe_sampling(manifest.get("config", {}))
    return [
        FigureData(str(model), of_model.reset_index(drop=True), titles, sampling)
        for model, of_model in points.groupby("model", sort=True)
    ]


def describe_sampling(config: dict[str, Any]) -> str:
    """`temperature 0.6, top-p 0.95, seed 0`: the settings that are on."""
    if "temperature" not in config:
        return ""
    off = {"top_p": 1, "top_k": 0, "min_p": 0}
    words = ["greedy"] if config["temperature"] == 0 else [f"temperature {config['temperature']:g}"]
    if config["temperature"] != 0:
        words += [
            f"{name.replace('_', '-')} {config[name]:g}"
            for name, value in off.items()
            if config.get(name, value) != value
        ]
    return ", ".join([*words, f"seed {config['seed']}"] if "seed" in config else words)


def short_model(model: str) -> str:
    """Model's name for a title: a hub id as it is, of a path the last part."""
    return Path(model).name if Path(model).is_absolute() or model.startswith(".") else model


def counts(points: pd.DataFrame) -> str:
    """What a task's accuracies rest on: `maj@W, 40 problems, 320 samples`."""
    votes = "pass@W" if (points["aggregate"] == "pass").all() else "maj@W"
    return f"{votes}, {_span(points['problems'])} problems, {_span(points['samples'])} samples"


def _span(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{low}–{high}"


def slug(model: str) -> str:
    """The model's name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", model).strip("-.")
