"""HumanEval: complete a function from its head and docstring; a test calls it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from hyperscale.grading.code.gold import Check
from hyperscale.tasks.adapters.base import Adapter, Question
from hyperscale.tasks.data import Dataset, read_rows

if TYPE_CHECKING:
    from hyperscale.tasks.task import Task


class HumanEvalOptions(BaseModel, frozen=True, extra="forbid"):
    """No options."""


class HumanEval(Adapter):
    """Rows in the columns of openai/openai_humaneval."""

    Options = HumanEvalOptions

    @classmethod
    def read(cls, task: Task, options: HumanEvalOptions, data: Path | None) -> Dataset:
        """Read all rows."""
        return read_rows(task, data)

    @classmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: HumanEvalOptions) -> Question:
        """Make the prompt from the function's head, and the gold from its test."""
        for name in ("task_id", "prompt", "test", "entry_point"):
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise ValueError(f"{source}: row {index}: column {name!r} is missing or empty")
        gold = Check(prompt=row["prompt"], test=row["test"], function=row["entry_point"])
        return Question(row["task_id"], row["prompt"].strip(), gold.model_dump_json())
