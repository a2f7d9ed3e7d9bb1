"""A small adapter for tests: rows with a number each, of which an option chooses those from a first one on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from hyperscale.tasks.adapters import ADAPTERS, Adapter, Question
from hyperscale.tasks.data import Dataset, read_rows
from hyperscale.tasks.task import Task


class Counting(Adapter):
    """Rows `{"n": N}` of a dataset or file."""

    class Options(BaseModel, frozen=True, extra="forbid"):
        first: int = Field(default=0, ge=0, description="the first number")
        shout: bool = False
        until: int | None = None

    @classmethod
    def read(cls, task: Task, options: Any, data: Path | None) -> Dataset:
        source = read_rows(task, data)
        return source._replace(rows=[row for row in source.rows if row["n"] >= options.first])

    @classmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: Any) -> Question:
        if "n" not in row:
            raise ValueError(f"{source}: row {index} has no column 'n'")
        return Question(f"n{row['n']}", f"{row['n']} + 1", str(row["n"] + 1))


class Making(Counting):
    """Makes its rows itself."""

    generates = True

    @classmethod
    def read(cls, task: Task, options: Any, data: Path | None) -> Dataset:
        return Dataset("making", [{"n": n} for n in range(options.first, 5)], "sha256:fixed")


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTERS, "counting", Counting)
    monkeypatch.setitem(ADAPTERS, "making", Making)


def write(folder: Path, name: str = "mine", adapter: str = "counting", more: str = "", rows: str | None = None) -> Path:
    """A task file with an adapter; without `rows` (a line of TOML) it has a file of five rows."""
    (folder / "n.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(5)))
    rows = ("" if adapter == "making" else 'rows = "n.jsonl"') if rows is None else rows
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\ntitle = "Mine"\n{rows}\nadapter = "{adapter}"\ngrader = "number"\n'
        f'aggregate = "majority"\nprompt = "Q: {{problem}}"\n{more}\n'
    )
    return path
