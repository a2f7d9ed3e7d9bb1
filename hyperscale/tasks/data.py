"""Read the rows of a task's dataset: from the hub, a local copy or the task's own file, or generate them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hyperscale.tasks.task import Task

_SUFFIXES = (".jsonl", ".parquet")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Dataset(NamedTuple):
    """Rows, a name for messages, and the revision that pins them."""

    name: str
    rows: list[Mapping[str, Any]]
    revision: str


def read_rows(task: Task, data: Path | None) -> Dataset:
    """Read the task's rows: generated or its own file; else from the folder `data` where given; else from the hub.

    ValueError, with what to do, where they cannot be read.
    """
    if task.generator is not None:
        return _generate(task, task.generator)
    if task.rows is not None:
        return _read_file(task.folder / task.rows)
    return _read_hub(task) if data is None else _read_file(_find(task, data))


def _generate(task: Task, name: str) -> Dataset:
    from hyperscale.tasks.generators import GENERATORS, fixed_set

    assert task.problems is not None, "check_task requires problems with a generator"
    drawn = fixed_set(GENERATORS[name], task.problems, "train" if task.split == "train" else "test")
    rows: list[Mapping[str, Any]] = [
        {"id": str(index), "problem": puzzle.prompt, "answer": puzzle.gold, **puzzle.facts}
        for index, puzzle in drawn.items()
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    return Dataset(f"generator {name}", rows, _sha(content.encode()))


def _find(task: Task, data: Path) -> Path:
    """Return the first file that exists of data/LOCAL/SPLIT, data/NAME/SPLIT, data/SPLIT, as .jsonl, then .parquet."""
    if not data.is_dir():
        raise ValueError(f"data folder {data} does not exist")
    folders = dict.fromkeys([data / (task.local or task.name), data / task.name, data])
    stem = task.local_split or task.split
    paths = [folder / f"{stem}{suffix}" for folder in folders for suffix in _SUFFIXES]
    for path in paths:
        if path.is_file():
            return path
    raise ValueError(f"no data for task {task.name}: none of {', '.join(map(str, paths))} exists")


def _read_file(path: Path) -> Dataset:
    if not path.is_file():
        raise ValueError(f"data file {path} does not exist")
    content = path.read_bytes()
    revision = _sha(content)
    if path.suffix == ".jsonl":
        return Dataset(str(path), _parse_lines(path, content), revision)
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return Dataset(str(path), pq.read_table(path).to_pylist(), revision)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: not a readable parquet file: {' '.join(str(error).split())}") from None
    raise ValueError(f"{path}: rows are read from .jsonl or .parquet, not from {path.suffix or 'such a file'}")


def _sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _parse_lines(path: Path, content: bytes) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: a row must be a JSON object")
        rows.append(row)
    return rows


def _read_hub(task: Task) -> Dataset:
    import datasets
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    where = f"dataset {task.hub_id} at {task.revision}"
    local = "or give a local copy with --data FOLDER"
    try:
        commit = _resolve(task)
        rows = datasets.load_dataset(task.hub_id, task.hub_config, split=task.split, revision=commit)
    except (GatedRepoError, datasets.exceptions.DatasetNotFoundError) as error:
        if isinstance(error, GatedRepoError) or "gated" in str(error).lower():
            page = f"https://huggingface.co/datasets/{task.hub_id}"
            raise ValueError(f"{where} is gated: accept its terms at {page} and set HF_TOKEN, {local}") from error
        raise ValueError(f"{where} cannot be found or reached: check the network, {local}") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(f"{where} does not exist on the hub (or needs HF_TOKEN); {local}") from error
    except Exception as error:
        # `datasets` and the hub's client raise different errors from release to release; to a user all mean the same.
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{where}, split {task.split!r}, cannot be loaded ({reason}): check the network, {local}"
        ) from error
    return Dataset(f"{where}, split {task.split!r}", list(rows), commit)


def _resolve(task: Task) -> str:
    """Resolve the task's revision to a commit: itself, or the present head of a branch or tag."""
    from huggingface_hub import HfApi

    assert task.hub_id is not None, "check_task requires hub_id where there are no rows, generator or adapter"
    assert task.revision is not None, "check_task requires revision with hub_id"
    if _COMMIT.fullmatch(task.revision):
        return task.revision
    return str(HfApi().dataset_info(task.hub_id, revision=task.revision).sha)
