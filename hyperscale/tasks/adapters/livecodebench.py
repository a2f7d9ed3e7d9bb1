"""LiveCodeBench, code generation: a release's JSONL files, read directly, between two contest dates."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, field_validator, model_validator

from hyperscale.grading.code.gold import Cases
from hyperscale.tasks.adapters.base import Adapter, Question
from hyperscale.tasks.data import Dataset

if TYPE_CHECKING:
    from hyperscale.tasks.task import Task

_FILES = 6
_RELEASE = re.compile(r"release_v([1-6])|v([1-6])(?:_v([1-6]))?|local")

_WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters."
)
_WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT."
)
"""Prompts of LiveCodeBench, word for word."""


class LiveCodeBenchOptions(BaseModel, frozen=True, extra="forbid"):
    """Release and dates of the problems."""

    release: str = Field(
        default="release_v5",
        description="release_vN: the first N files; vN: file N alone; vA_vB: a range; local: all that --data has.",
    )
    start: date | None = Field(default=None, description="First contest date, YYYY-MM-DD, inclusive.")
    end: date | None = Field(default=None, description="Last contest date, inclusive.")

    @field_validator("release")
    @classmethod
    def _known(cls, release: str) -> str:
        found = _RELEASE.fullmatch(release)
        if found is None or (found[3] and found[3] < found[2]):
            raise ValueError("must be release_vN, vN, vA_vB with A <= B (N, A, B from 1 to 6), or local")
        return release

    @field_validator("start", "end", mode="before")
    @classmethod
    def _none(cls, given: object) -> object:
        return None if given in ("", "none") else given

    @model_validator(mode="after")
    def _in_order(self) -> LiveCodeBenchOptions:
        if self.start and self.end and self.end < self.start:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self

    def holds(self, contest: date) -> bool:
        """Tell whether a contest's date is within the options' dates."""
        return (self.start is None or self.start <= contest) and (self.end is None or contest <= self.end)


class LiveCodeBench(Adapter):
    """Rows in the columns of livecodebench/code_generation_lite."""

    Options = LiveCodeBenchOptions

    @classmethod
    def read(cls, task: Task, options: LiveCodeBenchOptions, data: Path | None) -> Dataset:
        """Read the rows of the release between the dates, in the dataset's order."""
        paths, revision = _on_hub(task, options) if data is None else _in_folder(task, options, data)
        rows = [row for path in paths for row in _rows(path, options)]
        if not rows:
            raise ValueError(
                f"{paths[0].parent}: no problem of {options.release} between {options.start} and {options.end}"
            )
        return Dataset(str(paths[0].parent), rows, revision)

    @classmethod
    def question(cls, row: Mapping[str, Any], index: int, source: str, options: LiveCodeBenchOptions) -> Question:
        """Make the statement with the form of the answer, and the tests."""

        def cell(name: str) -> str:
            value = row.get(name)
            if not isinstance(value, str):
                raise ValueError(f"{source}: row {index}: column {name!r} is missing or not text")
            return value

        starter = cell("starter_code")
        form = (
            f"{_WITH_STARTER}\n```python\n{starter}\n```"
            if starter
            else f"{_WITHOUT_STARTER}\n```python\n# YOUR CODE HERE\n```"
        )
        try:
            function = json.loads(cell("metadata") or "{}").get("func_name")
        except (ValueError, AttributeError):
            raise ValueError(f"{source}: row {index}: column 'metadata' is not a JSON object") from None
        if function is not None and not isinstance(function, str):
            raise ValueError(f"{source}: row {index}: func_name in column 'metadata' is not text: {function!r}")
        gold = Cases(public=cell("public_test_cases"), private=cell("private_test_cases"), function=function)
        return Question(cell("question_id"), f"{cell('question_content')}\n\n{form}", gold.model_dump_json())


def file_names(release: str) -> list[str]:
    """List the files of a release: test.jsonl, test2.jsonl, ... as upstream numbers them."""
    found = _RELEASE.fullmatch(release)
    assert found is not None, "the options check the release"
    first, last = (1, int(found[1])) if found[1] else (int(found[2]), int(found[3] or found[2]))
    return ["test.jsonl" if number == 1 else f"test{number}.jsonl" for number in range(first, last + 1)]


def _in_folder(task: Task, options: LiveCodeBenchOptions, data: Path) -> tuple[list[Path], str]:
    if not data.is_dir():
        raise ValueError(f"data folder {data} does not exist")
    folders = [data / (task.local or task.name), data / task.name, data]
    folder = next((folder for folder in folders if (folder.is_dir() and any(folder.glob("test*.jsonl")))), None)
    if folder is None:
        places = ", ".join(map(str, dict.fromkeys(folders)))
        raise ValueError(f"no data for task {task.name}: none of {places} holds test.jsonl")
    if options.release == "local":
        paths = sorted(folder.glob("test*.jsonl"), key=lambda path: (len(path.name), path.name))
    else:
        paths = [folder / name for name in file_names(options.release)]
    for path in paths:
        if not path.is_file():
            raise ValueError(
                f"data file {path} does not exist: {options.release} needs {', '.join(p.name for p in paths)}; "
                f"--task-option {task.name}.release=local takes the files that are there"
            )
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return paths, f"sha256:{digest.hexdigest()}"


def _on_hub(task: Task, options: LiveCodeBenchOptions) -> tuple[list[Path], str]:
    from huggingface_hub import hf_hub_download

    assert task.hub_id is not None, "check_task requires an origin of the rows"
    if options.release == "local":
        raise ValueError(f"--task-option {task.name}.release=local needs --data FOLDER")
    paths = []
    for name in file_names(options.release):
        try:
            paths.append(Path(hf_hub_download(task.hub_id, name, repo_type="dataset", revision=task.revision)))
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{name} of dataset {task.hub_id} at {task.revision} cannot be loaded ({reason}): check the network, "
                "or give a local copy with --data FOLDER"
            ) from error
    return paths, str(task.revision)


def _rows(path: Path, options: LiveCodeBenchOptions) -> Iterator[Mapping[str, Any]]:
    """Read a file's rows between the dates, line by line: with their private tests they fill gigabytes."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not valid JSON: {error}") from None
            if not isinstance(row, dict) or not isinstance(row.get("contest_date"), str):
                raise ValueError(f"{path}, line {number}: not a row of LiveCodeBench: it has no contest_date")
            try:
                contest = date.fromisoformat(row["contest_date"][:10])
            except ValueError:
                raise ValueError(f"{path}, line {number}: contest_date {row['contest_date']!r} is not a date") from None
            if options.holds(contest):
                yield row
