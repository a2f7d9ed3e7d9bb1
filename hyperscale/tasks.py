"""Tasks: what is asked of a model and how its answers are judged. One TOML file a task; see docs/tasks.md."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from hyperscale.plugins import anchored
from hyperscale.task_checks import check_grading, check_source, hint

if TYPE_CHECKING:
    from hyperscale.grading import GraderRef
    from hyperscale.task_data import Source

LETTERS = "ABCD"
_PLACEHOLDER = re.compile(r"\{(problem|[A-D])\}")


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
    """A generator of `hyperscale.procedural`, instead of a dataset; `problems` says how many it makes."""
    problems: int | None = Field(default=None, gt=0)
    """Problems of the dataset, so that a plan can count them without it."""
    adapter: str | None = None
    """An adapter of `hyperscale.adapters`, instead of columns: it reads the rows, or makes them."""
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_grading(self)
        check_source(self)
        wanted = {"problem", *(LETTERS if self.grader == "choice" else "")}
        if (found := set(_PLACEHOLDER.findall(self.prompt))) != wanted:
            raise ValueError(f"prompt must hold the places {_places(wanted)}, it holds {_places(found)}")
        if self.columns is not None and len(self.columns.distractors) != (3 if self.grader == "choice" else 0):
            raise ValueError("columns.distractors must name 3 columns for the grader choice, none for others")
        return self

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
        return _PLACEHOLDER.sub(lambda place: filling[place[1]], self.prompt)


@dataclass(frozen=True)
class Problem:
    """One problem, ready to be asked. `permutation[i]` is the dataset's index of choice i (0: the right one)."""

    task: str
    id: str
    prompt: str
    system: str | None
    gold: str
    permutation: tuple[int, ...] | None


@dataclass(frozen=True)
class LoadedProblems:
    """Problems of a task. `partial`: a limit or a choice of ids left some out.

    `dataset_revision` is the commit on the hub, or `sha256:` and the hash of the local file or the generated rows.
    """

    problems: list[Problem]
    dataset_revision: str
    partial: bool


def task_names() -> list[str]:
    """Names of the tasks that come with hyperscale."""
    return sorted(path.stem for path in _task_folder().glob("*.toml"))


def load_task(name_or_path: str) -> Task:
    """Task of that name, or of a TOML file of one's own. ValueError, naming file and field, if not valid."""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ValueError(f"task file {path} does not exist")
    else:
        path = _task_folder() / f"{name_or_path}.toml"
        if name_or_path not in (names := task_names()):
            raise ValueError(f"no task {name_or_path!r}{hint(name_or_path, names)}; tasks: {', '.join(names)}")
    try:
        return Task.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "folder": path.parent})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {field + ': ' if field else ''}{message}") from None


def load_problems(
    task: Task,
    *,
    data: Path | None = None,
    limit: int | None = None,
    problem_ids: Sequence[str] = (),
    seed: int = 0,
    task_options: Sequence[tuple[str, str, str]] = (),
) -> LoadedProblems:
    """Problems of a task in the dataset's order, from `data` where given, else from where the task says.

    `task_options`, (task or "", key, value), tell its adapter what to choose, `problem_ids` selects from that, `limit`
    then keeps the first so many. `seed` decides the order of choices. ValueError: data not found or not readable, a
    missing column, an empty answer, a duplicate or unknown id, an option that is not valid.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    source, problems = _read(task, data, seed, task_options)
    if not problems:
        raise ValueError(f"{source.name}: no rows")
    ids = [problem.id for problem in problems]
    if len(set(ids)) < len(ids):
        twice = next(id for index, id in enumerate(ids) if id in ids[:index])
        column = f" in column {task.columns.id!r}" if task.columns is not None else ""
        raise ValueError(f"{source.name}: id {twice!r} stands twice{column}")
    for wanted in problem_ids:
        if wanted not in ids:
            raise ValueError(f"task {task.name} has no problem {wanted!r}{hint(wanted, ids)}")
    selected = [problem for problem in problems if not problem_ids or problem.id in problem_ids][:limit]
    return LoadedProblems(selected, source.revision, partial=len(selected) < len(problems))


def _read(
    task: Task, data: Path | None, seed: int, task_options: Sequence[tuple[str, str, str]]
) -> tuple[Source, list[Problem]]:
    from hyperscale.task_data import read_rows

    if task.adapter is None:
        source = read_rows(task, data)
        return source, [_problem(task, row, index, source.name, seed) for index, row in enumerate(source.rows)]
    from hyperscale.adapters import ADAPTERS
    from hyperscale.adapters.options import make_options

    adapter, options = ADAPTERS[task.adapter], make_options(task, task_options)
    source = adapter.read(task, options, data)
    asked = [adapter.question(row, index, source.name, options) for index, row in enumerate(source.rows)]
    return source, [Problem(task.name, id, task.render(text), task.system, gold, None) for id, text, gold in asked]


def _problem(task: Task, row: Mapping[str, Any], index: int, source: str, seed: int) -> Problem:
    def cell(column: str) -> str:
        if column not in row:
            raise ValueError(f"{source}: row {index} has no column {column!r}; it has {', '.join(row)}")
        text = "" if row[column] is None else str(row[column]).strip()
        if not text:
            raise ValueError(f"{source}: row {index}: column {column!r} is empty")
        return text

    columns = task.columns
    assert columns is not None, "only tasks with an adapter have no columns"
    question, gold = cell(columns.problem), cell(columns.answer)
    if columns.answer_after is not None:
        mark, gold = columns.answer_after, gold.rpartition(columns.answer_after)[2].strip()
        if mark not in cell(columns.answer) or not gold:
            raise ValueError(f"{source}: row {index}: no answer after {mark!r} in column {columns.answer!r}")
    permutation = None
    choices: list[str] = []
    if task.grader == "choice":
        listed = [gold, *(cell(column) for column in columns.distractors)]
        permutation = choice_order(question, seed)
        choices = [listed[i] for i in permutation]
        gold = LETTERS[permutation.index(0)]
    return Problem(
        task=task.name,
        id=str(index) if columns.id is None else cell(columns.id),
        prompt=task.render(question, choices),
        system=task.system,
        gold=gold,
        permutation=permutation,
    )


def choice_order(question: str, seed: int) -> tuple[int, ...]:
    """Order of a question's choices, by hashes of seed, index and question: the same in every run."""

    def key(index: int) -> bytes:
        return hashlib.sha256(f"{seed}\n{index}\n{question}".encode()).digest()

    return tuple(sorted(range(len(LETTERS)), key=key))


def _task_folder() -> Path:
    """The tasks of the wheel, which packs them inside the package, or those of the source tree."""
    package = Path(__file__).resolve().parent
    packed = package / "task_files"
    return packed if packed.is_dir() else package.parent / "tasks"


def _places(names: set[str]) -> str:
    return " ".join(f"{{{name}}}" for name in sorted(names, key=lambda name: (name != "problem", name))) or "none"
