"""Where a sweep's problems come from: its tasks, loaded and checked before any model is."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.config import SweepConfig
from hyperscale.grading import load_grader
from hyperscale.tasks.load import LoadedProblems, load_problems, load_task
from hyperscale.tasks.options import check_task_options
from hyperscale.tasks.task import Task

PARTIAL = (
    "PARTIAL RUN: --limit or --problem-id leaves problems out. These are not the benchmarks' numbers; "
    "the results say so (complete = false)."
)


@dataclass(frozen=True)
class Source:
    """A task and the problems of it that are asked for."""

    task: Task
    loaded: LoadedProblems


def load_sources(config: SweepConfig) -> list[Source]:
    """Tasks and problems of a sweep; ValueError on any that cannot be had, or whose answer cannot be graded."""
    tasks = [load_task(name) for name in config.tasks]
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"--tasks names one task twice: {', '.join(names)}")
    check_task_options(tasks, config.task_options)
    sources = [Source(task, load(task, config)) for task in tasks]
    for source in sources:
        grader = load_grader(source.task.grader_ref)
        for problem in source.loaded.problems:
            try:
                grader.gold(problem.gold)
            except ValueError as error:
                raise ValueError(f"task {problem.task}, problem {problem.id}: {error}") from None
    return sources


def load(task: Task, config: SweepConfig) -> LoadedProblems:
    """The problems of a task that a sweep asks for; ValueError if they cannot be had."""
    return load_problems(
        task,
        data=config.data,
        limit=config.limit,
        problem_ids=config.problem_ids,
        seed=config.seed,
        task_options=config.task_options,
    )
