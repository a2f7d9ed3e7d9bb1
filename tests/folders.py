"""Reading results folders back, and comparing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hyperscale.results.store import Store

KEY = ["run_id", "task", "problem_id", "thread"]


def table(folder: Path, name: str) -> pd.DataFrame:
    """Rows of samples or grades that count, in the order of their keys, lists as tuples."""
    with Store(folder) as store:
        frame = store.read(name)
    frame = frame.sort_values([*KEY, *(["length"] if name == "grades" else [])], ignore_index=True)
    lists = [column for column in frame if frame[column].map(lambda value: isinstance(value, np.ndarray)).any()]
    for column in lists:
        frame[column] = frame[column].map(tuple, na_action="ignore")
    return frame


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dict("records")  # type: ignore[return-value]


def keys(log: Path) -> list[tuple[str, str, int]]:
    """Threads in the order in which they were generated."""
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def assert_same_results(left: Path, right: Path) -> None:
    for name in ("samples", "grades"):
        pd.testing.assert_frame_equal(table(left, name), table(right, name))
    for name in ("outcomes", "points", "frontiers"):
        order = ["task", "width", "length", *{"outcomes": ["problem_id"], "frontiers": ["axis"]}.get(name, [])]
        one, other = (
            pd.read_parquet(folder / f"{name}.parquet").sort_values(order, ignore_index=True)
            for folder in (left, right)
        )
        pd.testing.assert_frame_equal(one, other)
