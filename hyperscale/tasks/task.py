"""Tasks: what is asked of a model and how its answers are judged. One TOML file a task; see docs/tasks.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from hyperscale.plugins import anchored

if TYPE_CHECKING:
    from hyperscale.grading.base import GraderRef

LETTERS = "ABCD"
PLACEHOLDER = re.compile(r"\{(problem|[A-D])\}")


class Columns(BaseModel, frozen=True, extra="forbid"):
    """Which column of a row holds what. Without `id` a problem's id is its row's index."""

    id: str | None = None
    problem: str
    answer: str
    answer_after: str | None = None
    """Mark behind which the gold answer stands in its column (GSM8K: `####`)."""
    distractors: tuple[str, ...] = ()
    """Columns of the wrong choices, for the grader `choice`."""


class Task(BaseModel, frozen=True, extra="forbid"):
    """A task as its TOML file states it. `chance` is the accuracy of guessing, in 0..1."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str
    hub_id: str | None = None
    hub_config: str | None = None
    revision: str | None = None
    split: str = "test"
    local: str | None = None
    """Folder of the task inside `--data FOLDER`; the task's name if not given."""
    local_split: str | None = None
    """Stem of the file in that folder; the split if not given."""
    rows: str | None = None
    """A .jsonl or .parquet file beside the TOML file, instead of a dataset on the hub."""
    generator: str | None = None
    """A generator of `hyperscale.tasks.generators`, instead of a dataset; `problems` says how many it makes."""
    problems: int | None = Field(default=None, gt=0)
    """Problems of the dataset, so that a plan can count them without it."""
    adapter: str | None = None
    """An adapter of `hyperscale.tasks.adapters`, instead of columns: it reads the rows, or makes them."""
    options: dict[str, Any] = {}
    """Options of the adapter that differ from its defaults, before --task-option."""
    columns: Columns | None = None
    prompt: str = Field(min_length=1)
    system: str | None = None
    grader: str = Field(min_length=1)
    """A grader of `hyperscale.grading`, of an installed package, or `PATH.py:NAME`, relative to this file's folder."""
    grader_pattern: str | None = None
    """The pattern of the grader `regex`."""
    aggregate: str = Field(min_length=1)
    chance: float = Field(default=0.0, ge=0.0, lt=1.0)
    folder: Path
    """Where the TOML file lies."""

    @property
    def grader_ref(self) -> GraderRef:
        """The grader as every process finds it, whatever its working folder."""
        from hyperscale.grading.base import GraderRef

        return GraderRef(anchored(self.grader, self.folder), self.grader_pattern)

    @property
    def prompt_sha(self) -> str:
        """SHA-256 of what the model is told beside the problem: system message and prompt."""
        return hashlib.sha256(json.dumps([self.system, self.prompt]).encode()).hexdigest()

    def render(self, problem: str, choices: Sequence[str] = ()) -> str:
        """The prompt with the problem and its choices in their places."""
        # One pass: a problem may itself hold "{A}", as LaTeX does.
        filling = {"problem": problem, **dict(zip(LETTERS, choices, strict=False))}
        return PLACEHOLDER.sub(lambda place: filling[place[1]], self.prompt)


@dataclass(frozen=True)
class Problem:
    """One problem, ready to be asked. `permutation[i]` is the dataset's index of choice i (0: the right one)."""

    task: str
    id: str
    prompt: str
    system: str | None
    gold: str
    permutation: tuple[int, ...] | None
