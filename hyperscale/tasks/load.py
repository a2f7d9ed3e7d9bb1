"""Load tasks by name or file, and their problems from the hub, a local copy, a file beside the task, or a generator."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hyperscale.plugins import Registry
from hyperscale.tasks.adapters import ADAPTERS
from hyperscale.tasks.checks import check_task, hint, make_options
from hyperscale.tasks.data import Dataset, read_rows
from hyperscale.tasks.task import LETTERS, Problem, Task


@dataclass(frozen=True)
class LoadedProblems:
    """Problems of a task. `partial`: a limit or a list of ids left some out.

    `dataset_revision` is the commit on the hub, or `sha256:` and the hash of the local file or the generated rows.
    """

    problems: list[Problem]
    dataset_revision: str
    partial: bool


def _accept(found: object) -> Path:
    if not isinstance(found, str | Path) or not str(found).endswith(".toml"):
        raise ValueError(f"expected the path of a task's TOML file, got {found!r}")
    return Path(found)


TASKS: Registry[Path] = Registry(kind="task", builtins={}, group="hyperscale.tasks", accept=_accept)
"""Tasks of installed packages: an entry point names a variable that holds the path of a TOML file."""


def task_names() -> list[str]:
    """List the tasks that come with hyperscale, then those of plugins; loads none of them."""
    own = sorted(path.stem for path in _task_folder().glob("*.toml"))
    return [*own, *(name for name in TASKS.names() if name not in own)]


def load_task(name_or_path: str) -> Task:
    """Load a task by name, or from a user's TOML file. ValueError, naming file and field, if not valid."""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ValueError(f"task file {path} does not exist")
    else:
        if name_or_path not in (names := task_names()):
            raise ValueError(f"no task {name_or_path!r}{hint(name_or_path, names)}; tasks: {', '.join(names)}")
        own = _task_folder() / f"{name_or_path}.toml"
        path = own if own.is_file() else TASKS.load(name_or_path)
    try:
        task = Task.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "folder": path.parent})
        check_task(task)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {field + ': ' if field else ''}{message}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return task


def load_problems(
    task: Task,
    *,
    data: Path | None = None,
    limit: int | None = None,
    problem_ids: Sequence[str] = (),
    seed: int = 0,
    task_options: Sequence[tuple[str, str, str]] = (),
) -> LoadedProblems:
    """Load the problems of a task in the dataset's order, from `data` where given, else from where the task says.

    `task_options`, (task or "", key, value), are its adapter's; `problem_ids` then selects, and `limit` keeps the first
    `limit` problems. `seed` decides the order of choices. ValueError: data not found or not readable, a missing column,
    an empty answer, a duplicate or unknown id, an option that is not valid.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    dataset, problems = _read(task, data, seed, task_options)
    if not problems:
        raise ValueError(f"{dataset.name}: no rows")
    ids = [problem.id for problem in problems]
    if len(set(ids)) < len(ids):
        twice = next(id for index, id in enumerate(ids) if id in ids[:index])
        column = f" in column {task.columns.id!r}" if task.columns is not None else ""
        raise ValueError(f"{dataset.name}: id {twice!r} occurs twice{column}")
    for wanted in problem_ids:
        if wanted not in ids:
            raise ValueError(f"task {task.name} has no problem {wanted!r}{hint(wanted, ids)}")
    selected = [problem for problem in problems if not problem_ids or problem.id in problem_ids][:limit]
    # A generator's problems are a sample of no fixed size; to choose among them is partial, to draw fewer is not.
    partial = bool(problem_ids) if task.generator is not None else len(selected) < len(problems)
    return LoadedProblems(selected, dataset.revision, partial=partial)


def _read(
    task: Task, data: Path | None, seed: int, task_options: Sequence[tuple[str, str, str]]
) -> tuple[Dataset, list[Problem]]:

    if task.adapter is None:
        dataset = read_rows(task, data)
        return dataset, [_problem(task, row, index, dataset.name, seed) for index, row in enumerate(dataset.rows)]

    adapter, options = ADAPTERS[task.adapter], make_options(task, task_options)
    dataset = adapter.read(task, options, data)
    asked = [adapter.question(row, index, dataset.name, options) for index, row in enumerate(dataset.rows)]
    return dataset, [Problem(task.name, id, task.render(text), task.system, gold, None) for id, text, gold in asked]


def _problem(task: Task, row: Mapping[str, Any], index: int, source: str, seed: int) -> Problem:
    def cell(column: str) -> str:
        if column not in row:
            raise ValueError(f"{source}: row {index} has no column {column!r}; it has {', '.join(row)}")
        text = "" if row[column] is None else str(row[column]).strip()
        if not text:
            raise ValueError(f"{source}: row {index}: column {column!r} is empty")
        return text

    columns = task.columns
    assert columns is not None, "check_task requires columns without an adapter"
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
    """Order a question's choices by hashes of seed, index and question: the same in every run."""

    def key(index: int) -> bytes:
        return hashlib.sha256(f"{seed}\n{index}\n{question}".encode()).digest()

    return tuple(sorted(range(len(LETTERS)), key=key))


def _task_folder() -> Path:
    """Find the folder of built-in tasks: inside the package in a wheel, beside it in the source tree."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "task_files"
    return packed if packed.is_dir() else package.parent / "tasks"
