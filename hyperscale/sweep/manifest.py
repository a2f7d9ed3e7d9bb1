"""Where numbers come from: the identity of a results folder, ids of its runs, and its manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hyperscale.config import stable_hash
from hyperscale.grading.registry import GRADERS
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.process.provenance import now
from hyperscale.results.manifest import check_identity
from hyperscale.tasks.load import LoadedProblems
from hyperscale.tasks.task import Task

Manifest = dict[str, Any]


GRADING_VERSION = 1
"""Raised when a release changes a grader's verdicts: stored grades are then refused, not mixed with new ones."""


def run_id(plan: Plan, task: Task, run: Run) -> str:
    """Hash of all that decides what a run draws: model, sampling, backend and ratio, task prompt."""
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
    """A run's options; of a plugin's backend also where it comes from, with its source's hash."""
    return dict(run.options) if run.origin is None else {**dict(run.options), "plugin": asdict(run.origin)}


def describe_task(
    task: Task, loaded: LoadedProblems, runs: Sequence[Run], code_grader: str = "strict"
) -> dict[str, Any]:
    """What the manifest keeps of a task: its source, its identity, how it is scored, its pools at each L."""
    return {
        "identity": {
            "prompt_sha": task.prompt_sha,
            "dataset_revision": loaded.dataset_revision,
            "dataset": task.hub_id,
            "dataset_config": task.hub_config,
            # Only where there is one: folders of other tasks, older ones too, keep their identity.
            **({} if task.generator is None else {"generator": task.generator}),
            **({} if task.adapter is None else {"adapter": task.adapter}),
            "split": task.split,
            "columns": None if task.columns is None else task.columns.model_dump(mode="json"),
            **_grader(task),
            "grading_version": GRADING_VERSION,
            **({"code_grader": code_grader} if task.grader == "code" else {}),
        },
        "title": task.title,
        "aggregate": task.aggregate,
        "chance": task.chance,
        "problems": len(loaded.problems),
        "partial": loaded.partial,
        "pools": _pools(runs),
    }


def _grader(task: Task) -> dict[str, Any]:
    """The grader's name; only where there are such, its pattern and the plugin that it is."""
    origin = GRADERS.origin(task.grader_ref.name)
    return {
        "grader": task.grader if origin is None else origin.name,
        **({} if task.grader_pattern is None else {"grader_pattern": task.grader_pattern}),
        **({} if origin is None else {"grader_origin": asdict(origin)}),
    }


def _pools(runs: Sequence[Run]) -> dict[str, int]:
    """Threads that every run has at each L."""
    lengths = {length for run in runs for _, length in run.points}
    return {
        str(length): min(run.pool(length) for run in runs if any(at == length for _, at in run.points))
        for length in sorted(lengths)
    }


def opened(
    old: Manifest | None,
    plan: Plan,
    tasks: Mapping[str, dict[str, Any]],
    session: dict[str, Any],
    sampled: Collection[tuple[str, str]],
) -> Manifest:
    """Manifest of a folder in which `session` starts; ValueError with a diff if it holds another sweep.

    `sampled`: (task, backend) of every sample in it. What has no sample may change, and is
    forgotten if it is not named again; else tasks, backends and sessions add up. What the model adds to the identity
    is kept until `identify` and `identify_run` compare it.
    """
    if old is None:
        old = {"created": now(), "identity": {}, "tasks": {}, "sessions": []}
    known = old["identity"].get("model", {})
    held = {name: task for name, task in old["tasks"].items() if any(name == of for of, _ in sampled)}
    used = {name: of for name, of in old.get("backends", {}).items() if any(name == of for _, of in sampled)}
    options = {run.backend: _settings(run) for run in plan.runs}
    checkpoints = old["identity"].get("checkpoints", {})
    both = held.keys() & tasks.keys()
    if old["identity"]:
        shared = used.keys() & options.keys()
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
    # Points of other runs are not made again, but their tables are: they need the pools that they had.
    pools = {name: held[name]["pools"] | tasks[name]["pools"] for name in both}
    merged = {name: {**task, "pools": pools.get(name, task["pools"])} for name, task in tasks.items()}
    return {
        "created": old["created"],
        "identity": {
            "config": plan.identity,
            "model": known,
            "checkpoints": {name: of for name, of in checkpoints.items() if name.split()[0] in used},
        },
        "config": plan.config.model_dump(mode="json", exclude={"output_dir", "data"}),
        "partial": any(task["partial"] for task in tasks.values()),
        "tasks": {**held, **merged},
        "backends": {**used, **options},
        "sessions": [*old["sessions"], session],
    }


def named(manifest: Manifest) -> set[tuple[str, str]]:
    """Every (task, backend) that a manifest names, sampled or not."""
    return {(task, backend) for task in manifest["tasks"] for backend in manifest.get("backends", {})}


def identify(manifest: Manifest, model: dict[str, Any]) -> None:
    """Enter what the loaded model adds to the identity; ValueError with a diff if the folder had another."""
    known = manifest["identity"]["model"]
    if known:
        check_identity({"model": known}, {"model": model})
    manifest["identity"]["model"] = model


def identify_run(manifest: Manifest, run: Run, checkpoint: dict[str, Any]) -> None:
    """Enter the checkpoint that a run has of its own, if it has; ValueError with a diff if it had another."""
    known = manifest["identity"]["checkpoints"]
    if run.name in known:
        check_identity({run.name: known[run.name]}, {run.name: checkpoint})
    if checkpoint:
        known[run.name] = checkpoint
