"""The provenance of numbers: the identity of a results folder, ids of its runs, and its manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

from hyperscale.config import stable_hash
from hyperscale.engines.base import WeightsIdentity
from hyperscale.executors.base import ModelIdentity
from hyperscale.grading.registry import GRADERS
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.process.provenance import SessionRecord, now
from hyperscale.results.manifest import check_identity
from hyperscale.tasks.load import LoadedProblems
from hyperscale.tasks.task import Task


class TaskIdentity(TypedDict):
    """What must not change of a task within a folder. Optional keys keep the identity of tasks without them."""

    prompt_sha: str
    dataset_revision: str | None
    dataset: str | None
    dataset_config: str | None
    generator: NotRequired[str]
    adapter: NotRequired[str]
    split: str | None
    columns: dict[str, Any] | None
    grader: str
    grader_pattern: NotRequired[str]
    grader_origin: NotRequired[dict[str, Any]]
    """Plugin that the grader comes from, with its source's hash."""
    grading_version: int
    code_grader: NotRequired[str]


class TaskRecord(TypedDict):
    """A task in the manifest."""

    identity: TaskIdentity
    title: str
    aggregate: str
    chance: float
    problems: int
    partial: bool
    pools: dict[str, int]
    """Threads that every run has at each L."""


class FolderIdentity(TypedDict):
    """What must not change within a folder beside its tasks and backends."""

    config: dict[str, Any]
    model: ModelIdentity
    """Empty until the model is loaded."""
    checkpoints: dict[str, WeightsIdentity]
    """A family's checkpoints by the names of their runs."""


class Manifest(TypedDict):
    """manifest.json, without its schema version."""

    created: str
    identity: FolderIdentity
    config: dict[str, Any]
    """Config of the last session."""
    partial: bool
    tasks: dict[str, TaskRecord]
    backends: dict[str, dict[str, Any]]
    """Settings of each backend that are not its defaults."""
    sessions: list[SessionRecord]


GRADING_VERSION = 1
"""Increased when a release changes a grader's verdicts: stored grades are then refused, not mixed with new ones."""


def run_id(plan: Plan, task: Task, run: Run) -> str:
    """Hash everything that decides a run's samples: model, sampling, backend and ratio, task prompt."""
    return stable_hash(
        {
            **plan.identity,
            "task": task.name,
            "prompt": task.prompt_sha,
            "backend": run.backend,
            "compression_ratio": run.compression_ratio,
            "cache_budget": run.cache_budget,
            "options": _settings(run),
        }
    )


def _settings(run: Run) -> dict[str, Any]:
    """Return a run's options; for a plugin's backend also its origin, with its source's hash."""
    return dict(run.options) if run.origin is None else {**dict(run.options), "plugin": asdict(run.origin)}


def describe_task(task: Task, loaded: LoadedProblems, runs: Sequence[Run], code_grader: str = "strict") -> TaskRecord:
    """Describe a task for the manifest: its source, its identity, how it is scored, its pools at each L."""
    return {
        "identity": _identity(task, loaded, code_grader),
        "title": task.title,
        "aggregate": task.aggregate,
        "chance": task.chance,
        "problems": len(loaded.problems),
        "partial": loaded.partial,
        "pools": _pools(runs),
    }


def _identity(task: Task, loaded: LoadedProblems, code_grader: str) -> TaskIdentity:
    origin = GRADERS.origin(task.grader_ref.name)
    identity: TaskIdentity = {
        "prompt_sha": task.prompt_sha,
        "dataset_revision": loaded.dataset_revision,
        "dataset": task.hub_id,
        "dataset_config": task.hub_config,
        "split": task.split,
        "columns": None if task.columns is None else task.columns.model_dump(mode="json"),
        "grader": task.grader if origin is None else origin.name,
        "grading_version": GRADING_VERSION,
    }
    if task.generator is not None:
        identity["generator"] = task.generator
    if task.adapter is not None:
        identity["adapter"] = task.adapter
    if task.grader_pattern is not None:
        identity["grader_pattern"] = task.grader_pattern
    if origin is not None:
        identity["grader_origin"] = asdict(origin)
    if task.grader == "code":
        identity["code_grader"] = code_grader
    return identity


def _pools(runs: Sequence[Run]) -> dict[str, int]:
    """Count the threads that every run has at each L."""
    lengths = {length for run in runs for _, length in run.points}
    return {
        str(length): min(run.pool(length) for run in runs if any(at == length for _, at in run.points))
        for length in sorted(lengths)
    }


def opened(
    old: Manifest | None,
    plan: Plan,
    tasks: Mapping[str, TaskRecord],
    session: SessionRecord,
    sampled: Collection[tuple[str, str]],
) -> Manifest:
    """Make the manifest of a folder in which `session` starts; ValueError with a diff if it holds another sweep.

    `sampled`: (task, backend) of every sample in it. Tasks and backends without a sample may change, and are dropped
    if `plan` does not name them; others, and sessions, add up. The model's part of the identity is kept until
    `identify` and `identify_run` compare it.
    """
    if old is None:
        old = _empty(plan)
    held = {name: task for name, task in old["tasks"].items() if any(name == of for of, _ in sampled)}
    used = {name: of for name, of in old["backends"].items() if any(name == of for _, of in sampled)}
    options = {run.backend: _settings(run) for run in plan.runs}
    both, shared = held.keys() & tasks.keys(), used.keys() & options.keys()
    check_identity(
        {
            "config": old["identity"]["config"],
            "tasks": {name: held[name]["identity"] for name in both},
            "backends": {name: used[name] for name in shared},
        },
        {
            "config": plan.identity,
            "tasks": {name: tasks[name]["identity"] for name in both},
            "backends": {name: options[name] for name in shared},
        },
    )
    # The points of runs outside the plan are made again from outcomes, and need their pools.
    pools = {name: held[name]["pools"] | tasks[name]["pools"] for name in both}
    merged: dict[str, TaskRecord] = {
        name: {**task, "pools": pools.get(name, task["pools"])} for name, task in tasks.items()
    }
    return {
        "created": old["created"],
        "identity": {
            "config": plan.identity,
            "model": old["identity"]["model"],
            "checkpoints": {name: of for name, of in old["identity"]["checkpoints"].items() if name.split()[0] in used},
        },
        "config": plan.config.model_dump(mode="json", exclude={"output_dir", "data"}),
        "partial": any(task["partial"] for task in tasks.values()),
        "tasks": {**held, **merged},
        "backends": {**used, **options},
        "sessions": [*old["sessions"], session],
    }


def _empty(plan: Plan) -> Manifest:
    return {
        "created": now(),
        "identity": {"config": plan.identity, "model": {}, "checkpoints": {}},
        "config": {},
        "partial": False,
        "tasks": {},
        "backends": {},
        "sessions": [],
    }


def named(manifest: Manifest) -> set[tuple[str, str]]:
    """Return every (task, backend) that a manifest names, sampled or not."""
    return {(task, backend) for task in manifest["tasks"] for backend in manifest["backends"]}


def identify(manifest: Manifest, model: ModelIdentity) -> None:
    """Enter the loaded model's identity; ValueError with a diff if the folder has another."""
    known = manifest["identity"]["model"]
    if known:
        check_identity({"model": known}, {"model": model})
    manifest["identity"]["model"] = model


def identify_run(manifest: Manifest, run: Run, checkpoint: WeightsIdentity) -> None:
    """Enter the identity of a run's own checkpoint, {} without one; ValueError with a diff if it had another."""
    known = manifest["identity"]["checkpoints"]
    if run.name in known:
        check_identity({run.name: known[run.name]}, {run.name: checkpoint})
    if checkpoint:
        known[run.name] = checkpoint
