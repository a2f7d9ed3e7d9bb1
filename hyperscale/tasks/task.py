"""Tasks: the prompt, the dataset and the grading of a benchmark. One TOML file a task; see docs/tasks.md."""

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
    """Columns of a row. Without `id` a problem's id is its row's index."""

    id: str | None = None
    problem: str
    answer: str
    answer_after: str | None = None
    """Mark before the gold answer in its column (GSM8K: `####`)."""
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
    """Folder of the task inside `--data FOLDER`; default: the task's name."""
    local_split: str | None = None
    """Stem of the file in that folder; default: the split."""
    rows: str | None = None
    """A .jsonl or .parquet file beside the TOML file, instead of a dataset on the hub."""
    generator: str | None = None
    """A generator of `hyperscale.tasks.generators`, instead of a dataset; it makes `problems` problems."""
    problems: int | None = Field(default=None, gt=0)
    """Number of problems in the dataset, so that a plan can count them without it."""
    min_length: int = Field(default=1, gt=0)
    """Least L in tokens at which a problem can be solved: a sweep makes no points of the task below it."""
    adapter: str | None = None
    """An adapter of `hyperscale.tasks.adapters`, instead of columns: it reads or generates the rows."""
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
    """Folder of the TOML file."""

    @property
    def grader_ref(self) -> GraderRef:
        """Reference to the grader that any process can load, whatever its working folder."""
        from hyperscale.grading.base import GraderRef

        return GraderRef(anchored(self.grader, self.folder), self.grader_pattern)

    @property
    def prompt_sha(self) -> str:
        """SHA-256 of system message and prompt."""
        return hashlib.sha256(json.dumps([self.system, self.prompt]).encode()).hexdigest()

    def render(self, problem: str, choices: Sequence[str] = ()) -> str:
        """Fill the prompt's placeholders with the problem and its choices."""
        # One pass: a problem may itself hold "{A}", as LaTeX does.
        filling = {"problem": problem, **dict(zip(LETTERS, choices, strict=False))}
        return PLACEHOLDER.sub(lambda place: filling[place[1]], self.prompt)


@dataclass(frozen=True)
class Problem:
    """One problem with its prompt rendered. `permutation[i]` is the dataset's index of choice i (0: the right one)."""

    task: str
    id: str
    prompt: str
    system: str | None
    gold: str
    permutation: tuple[int, ...] | None
