"""Tasks: what is asked of a model and how its answers are judged. One TOML file a task; see docs/tasks.md."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

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
    columns: Columns
    prompt: str = Field(min_length=1)
    system: str | None = None
    grader: Literal["math", "integer", "number", "choice", "final", "countdown"]
    aggregate: Literal["majority", "pass"]
    chance: float = Field(default=0.0, ge=0.0, lt=1.0)
    folder: Path
    """Where the TOML file lies."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("hub_id", "rows", "generator") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of hub_id, rows and generator, not {' and '.join(given) or 'none'}")
        if self.hub_id is not None and self.revision is None:
            raise ValueError("revision is missing: pin the commit of the dataset")
        if self.generator is not None:
            _check_generator(self, self.generator)
        wanted = {"problem", *(LETTERS if self.grader == "choice" else "")}
        if (found := set(_PLACEHOLDER.findall(self.prompt))) != wanted:
            raise ValueError(f"prompt must hold the places {_places(wanted)}, it holds {_places(found)}")
        if len(self.columns.distractors) != (3 if self.grader == "choice" else 0):
            raise ValueError("columns.distractors must name 3 columns for the grader choice, none for others")
        return self

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
            raise ValueError(f"no task {name_or_path!r}{_hint(name_or_path, names)}; tasks: {', '.join(names)}")
    try:
        return Task.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "folder": path.parent})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
) -> LoadedProblems:
    """Problems of a task in the dataset's order, from `data` where given, else from where the task says.

    `problem_ids` selects, `limit` then keeps the first so many. `seed` decides the order of choices.
    ValueError: data not found or not readable, a missing column, an empty answer, a duplicate or unknown id.
    """
    from hyperscale.task_data import read_rows

    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    source = read_rows(task, data)
    problems = [_problem(task, row, index, source.name, seed) for index, row in enumerate(source.rows)]
    if not problems:
        raise ValueError(f"{source.name}: no rows")
    ids = [problem.id for problem in problems]
    if len(set(ids)) < len(ids):
        twice = next(id for index, id in enumerate(ids) if id in ids[:index])
        raise ValueError(f"{source.name}: id {twice!r} stands twice in column {task.columns.id!r}")
    for wanted in problem_ids:
        if wanted not in ids:
            raise ValueError(f"task {task.name} has no problem {wanted!r}{_hint(wanted, ids)}")
    selected = [problem for problem in problems if not problem_ids or problem.id in problem_ids][:limit]
    return LoadedProblems(selected, source.revision, partial=len(selected) < len(problems))


def _problem(task: Task, row: Mapping[str, Any], index: int, source: str, seed: int) -> Problem:
    def cell(column: str) -> str:
        if column not in row:
            raise ValueError(f"{source}: row {index} has no column {column!r}; it has {', '.join(row)}")
        text = "" if row[column] is None else str(row[column]).strip()
        if not text:
            raise ValueError(f"{source}: row {index}: column {column!r} is empty")
        return text

    columns = task.columns
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


def _check_generator(task: Task, name: str) -> None:
    from hyperscale.procedural import GENERATORS

    if name not in GENERATORS:
        raise ValueError(f"no generator {name!r}{_hint(name, list(GENERATORS))}; generators: {', '.join(GENERATORS)}")
    if task.problems is None:
        raise ValueError("problems is missing: say how many the generator shall make")
    if task.problems > (most := GENERATORS[name].most_problems):
        raise ValueError(f"problems = {task.problems}: the generator {name} makes a set of {most:,} at most")
    if task.split not in ("train", "test"):
        raise ValueError(f"split of a generator must be train or test, got {task.split!r}")
    for field in ("hub_config", "revision", "local", "local_split"):
        if getattr(task, field) is not None:
            raise ValueError(f"{field} belongs to a dataset of the hub, a generator has none")


def _task_folder() -> Path:
    """The tasks of the wheel, which packs them inside the package, or those of the source tree."""
    package = Path(__file__).resolve().parent
    packed = package / "task_files"
    return packed if packed.is_dir() else package.parent / "tasks"


def _hint(wanted: str, known: Sequence[str]) -> str:
    near = get_close_matches(wanted, known, n=3, cutoff=0.5)
    return f", did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def _places(names: set[str]) -> str:
    return " ".join(f"{{{name}}}" for name in sorted(names, key=lambda name: (name != "problem", name))) or "none"
