"""Pool results folders that differ in their seed alone: one experiment with more threads a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hyperscale.analysis.outcomes import SAMPLE_COLUMNS, Answers, Classes, outcomes
from hyperscale.analysis.points import TaskPlan, points
from hyperscale.grading import GraderRef, GradingPool
from hyperscale.results.manifest import differences, read_manifest
from hyperscale.results.schema import OUTCOME_KEY
from hyperscale.results.store import Store

_PROBLEM = ["task", "problem_id"]
_PROMPT = ["prompt_tokens", "permutation"]


class Pooled(NamedTuple):
    """OUTCOMES and POINTS of the pooled threads; `frontiers` and `gains` take them as a folder's own."""

    outcomes: pd.DataFrame
    points: pd.DataFrame


class _Folder(NamedTuple):
    path: Path
    manifest: dict[str, Any]
    samples: pd.DataFrame
    """With `run`, a name of the run without its seed, in the place of `run_id`."""
    grades: pd.DataFrame
    outcomes: pd.DataFrame


def pool(folders: Sequence[Path], classes: Classes | None = None) -> Pooled:
    """Pool finished folders of one experiment and different seeds; compute outcomes and points of their threads.

    A problem's pool is the union of its threads, so that the largest W is more than one draw. The outcomes are those
    (problem, backend, CR, W, L) that every folder has. `classes` groups equal answers as in `outcomes`; by default
    each task's own grader does.

    ValueError: fewer than two folders; one without a manifest; two of one seed, whose threads would be the same draws;
    an identity that differs in more than the seed, by the key; a problem whose prompt the seed changes (multiple-choice
    tasks order their choices by it); nothing in common.
    """
    if len(folders) < 2:
        raise ValueError("pooling takes two results folders or more, of one experiment and different seeds")
    found = [_read(Path(folder)) for folder in folders]
    for one, other in combinations(found, 2):
        _check(one, other)
    keys = _common_keys(found)
    samples, grades, begin = [], [], 0
    for folder in found:
        samples.append(folder.samples.assign(thread=folder.samples["thread"] + begin))
        grades.append(folder.grades.assign(thread=folder.grades["thread"] + begin))
        begin += int(folder.samples["thread"].max()) + 1
    held = pd.concat(samples, ignore_index=True)
    prompts = held.assign(permutation=held["permutation"].map(str)).drop_duplicates([*_PROBLEM, *_PROMPT])
    changed = prompts[prompts.duplicated(_PROBLEM)]
    if len(changed):
        task, problem = changed[_PROBLEM].iloc[0]
        raise ValueError(f"{task}, problem {problem}: the seed changes its prompt, so its threads are no one pool")
    records = {name: task for folder in found for name, task in folder.manifest["tasks"].items()}
    grid = sorted({(int(width), int(length)) for width, length in keys[["width", "length"]].to_numpy()})
    aggregates = {name: task["aggregate"] for name, task in records.items()}
    seed = int(found[0].manifest["identity"]["config"]["seed"])
    graded = pd.concat(grades, ignore_index=True)
    if classes is not None:
        made = outcomes(held, graded, grid, aggregates, classes, seed)
    else:
        with GradingPool() as grading:

            def of_task(task: str, answers: Answers) -> list[int]:
                identity = records[task]["identity"]
                return grading.classes(GraderRef(identity["grader"], identity.get("grader_pattern")), answers)

            made = outcomes(held, graded, grid, aggregates, of_task, seed)
    made = made.merge(keys, on=list(OUTCOME_KEY)).sort_values(list(OUTCOME_KEY), ignore_index=True)
    return Pooled(made, _points(made, found))


def _read(path: Path) -> _Folder:
    manifest = read_manifest(path)
    if manifest is None:
        raise ValueError(f"{path} holds no manifest.json: name the --output-dir of a finished sweep")
    with Store(path) as store:
        samples = store.read("samples", [*SAMPLE_COLUMNS, "permutation"])
        grades = store.read("grades")
    if samples.empty or not (path / "outcomes.parquet").exists():
        raise ValueError(f"{path} holds no outcomes: finish a sweep there first")
    # The hash that names a run holds the seed.
    key = samples[["task", "backend", "compression_ratio", "cache_budget"]].itertuples(index=False, name=None)
    names = pd.Series(["|".join(map(str, run)) for run in key], index=samples.index)
    run_of = dict(zip(samples["run_id"], names, strict=True))
    grades = grades[grades["run_id"].isin(run_of)]
    return _Folder(
        path,
        manifest,
        planned(samples.assign(run_id=names), manifest["tasks"]),
        grades.assign(run_id=grades["run_id"].map(run_of)),
        pd.read_parquet(path / "outcomes.parquet"),
    )


def planned(samples: pd.DataFrame, tasks: Mapping[str, Any]) -> pd.DataFrame:
    """Lower each thread's `length_cap` to the largest L whose pool has it; drop threads that no pool has.

    A sweep that was wider or longer, and was interrupted, left threads of the problems that were done first.
    """
    largest = {
        (name, thread): max(int(length) for length, pool in task["pools"].items() if pool > thread)
        for name, task in tasks.items()
        for thread in range(max(task["pools"].values()))
    }
    caps = [largest.get(thread, 0) for thread in zip(samples["task"], samples["thread"], strict=True)]
    kept = samples.assign(length_cap=samples["length_cap"].clip(upper=pd.Series(caps, index=samples.index)))
    return kept[kept["length_cap"] > 0]


def _check(one: _Folder, other: _Folder) -> None:
    """Raise ValueError where two folders are of one seed, or differ in more than it."""
    seeds = [folder.manifest["identity"]["config"]["seed"] for folder in (one, other)]
    if seeds[0] == seeds[1]:
        raise ValueError(f"{one.path} and {other.path} are both of seed {seeds[0]}: their threads are the same draws")
    lines = differences(*(_identity(folder.manifest, like.manifest) for folder, like in ((one, other), (other, one))))
    if lines:
        raise ValueError(f"{one.path} and {other.path} differ in more than their seed: {'; '.join(lines)}")


def _identity(manifest: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Take what decides the draws of a folder but its seed, of the tasks, backends and checkpoints that both have."""
    identity, others = manifest["identity"], other["identity"]
    tasks, backends = manifest["tasks"], manifest["backends"]
    return {
        "config": {name: value for name, value in identity["config"].items() if name != "seed"},
        "model": identity["model"],
        "checkpoints": {name: of for name, of in identity["checkpoints"].items() if name in others["checkpoints"]},
        "tasks": {name: task["identity"] for name, task in tasks.items() if name in other["tasks"]},
        "backends": {name: of for name, of in backends.items() if name in other["backends"]},
    }


def _common_keys(found: Sequence[_Folder]) -> pd.DataFrame:
    """List the outcomes that every folder has; ValueError where there are none."""
    keys = found[0].outcomes[list(OUTCOME_KEY)]
    for folder in found[1:]:
        keys = keys.merge(folder.outcomes[list(OUTCOME_KEY)], on=list(OUTCOME_KEY))
    if keys.empty:
        raise ValueError(f"{', '.join(str(folder.path) for folder in found)} have no outcome of a problem in common")
    return keys


def _points(made: pd.DataFrame, found: Sequence[_Folder]) -> pd.DataFrame:
    """Compute POINTS; a pool is full with as many threads as the folders planned together."""
    tables = []
    for name, of_task in made.groupby("task"):
        records = [folder.manifest["tasks"][name] for folder in found]
        first = records[0]
        plan = TaskPlan(
            first["aggregate"], first["chance"], first["problems"], any(record["partial"] for record in records)
        )
        pools = {
            int(length): sum(record["pools"][length] for record in records)
            for length in first["pools"]
            if all(length in record["pools"] for record in records)
        }
        tables.append(points(of_task, {str(name): plan}, pools))
    return pd.concat(tables, ignore_index=True)
