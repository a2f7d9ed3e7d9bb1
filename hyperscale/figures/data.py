"""Load the data of the figures: points of one model, titles and sampling settings of the manifest."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hyperscale.analysis.pareto import fitting, require_columns
from hyperscale.grading.registry import load_aggregate
from hyperscale.results.manifest import read_manifest
from hyperscale.results.schema import GAINS, POINTS, Column
from hyperscale.storage.files import read
from hyperscale.storage.remote import is_local

INTERVAL_NOTE = "Agresti–Coull over problems"

NO_GAINS = pd.DataFrame(columns=[column.name for column in GAINS])


class FigureData(NamedTuple):
    """Hold the POINTS of one model, and the words that a figure puts around them."""

    model: str
    points: pd.DataFrame
    titles: dict[str, str]
    """Title of each task."""
    sampling: str
    """Sampling settings in words; empty where no manifest holds them."""
    left_out: str = ""
    """Points that no figure shows, in a sentence; empty where there are none."""
    gains: pd.DataFrame = NO_GAINS
    """GAINS of the model; empty where there are none."""

    def of_task(self, task: str) -> pd.DataFrame:
        """Select the points of one task."""
        return self.points[self.points["task"] == task]


def load(results: Path) -> list[FigureData]:
    """Read the figure data of a results folder, on a disk or behind a URL: one per model in it.

    Raises ValueError where the folder or its points are missing, empty or unreadable.
    """
    path = results / "points.parquet"
    if is_local(results) and not results.is_dir():
        raise ValueError(f"no results folder at {results}: name the --output-dir of a sweep")
    points = _table(path, POINTS, "points")
    if points is None:
        raise ValueError(f"{results} holds no points.parquet: finish a sweep there first")
    if points.empty:
        raise ValueError(f"{path} holds no points: let the sweep finish at least one problem")
    gains = _table(results / "gains.parquet", GAINS, "gains")
    gains = NO_GAINS if gains is None else gains
    manifest = read_manifest(results) or {}
    tasks = manifest.get("tasks", {})
    titles = {task: tasks.get(task, {}).get("title", task) for task in points["task"].unique()}
    sampling = describe_sampling(manifest.get("config", {}))
    shown = fitting(points)
    if shown.empty:
        raise ValueError(f"{path} holds no point at which every prompt fits L: sweep a larger L")
    return [
        FigureData(
            str(model),
            of_model.reset_index(drop=True),
            titles,
            sampling,
            _left_out(points, of_model, titles),
            gains[gains["model"] == model].reset_index(drop=True),
        )
        for model, of_model in shown.groupby("model", sort=True)
    ]


def _table(path: Path, columns: list[Column], table: str) -> pd.DataFrame | None:
    """Read a table; None where there is none, ValueError where it is unreadable or lacks columns."""
    try:
        content = read(path)
    except FileNotFoundError:
        return None
    try:
        frame: pd.DataFrame = pd.read_parquet(BytesIO(content))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as parquet ({' '.join(str(error).split())}): run the sweep again"
        ) from error
    require_columns(frame, [column.name for column in columns], table)
    return frame


def _left_out(points: pd.DataFrame, shown: pd.DataFrame, titles: dict[str, str]) -> str:
    """Say which points of a model are not shown, as prompts of their problems fill L."""
    of_model = points[points["model"] == shown["model"].iloc[0]]
    unfit = of_model[~of_model.index.isin(shown.index)]
    lengths = [
        f"L = {', '.join(f'{length:,}' for length in sorted(of_task['length'].unique()))} of {titles[str(task)]}"
        for task, of_task in unfit.groupby("task")
    ]
    return f"Left out, as prompts fill L: {'; '.join(lengths)}." if lengths else ""


def describe_sampling(config: dict[str, Any]) -> str:
    """Write the sampling settings that are on: `temperature 0.6, top-p 0.95, seed 0`."""
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
    """Shorten a model's name for a title: a hub id is kept, a path is cut to its last part."""
    return Path(model).name if Path(model).is_absolute() or model.startswith(".") else model


def counts(points: pd.DataFrame) -> str:
    """Write the basis of a task's accuracies: `maj@W, 40 problems, 320 samples`."""
    names = set(points["aggregate"])
    votes = load_aggregate(names.pop() if len(names) == 1 else "majority").label
    return f"{votes}, {_span(points['problems'])} problems, {_span(points['samples'])} samples"


def _span(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{low}–{high}"


def slug(name: str) -> str:
    """Make a name fit to be part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")
