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
class LoadedTask:
    """A task and the problems of it that are asked for."""

    task: Task
    problems: LoadedProblems


def load_tasks(config: SweepConfig) -> list[LoadedTask]:
    """Load the tasks and problems of a sweep; ValueError where one cannot be had, or its answer not be graded."""
    tasks = [load_task(name) for name in config.tasks]
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"--tasks names one task twice: {', '.join(names)}")
    check_task_options(tasks, config.task_options)
    found = [LoadedTask(task, load(task, config)) for task in tasks]
    for loaded in found:
        grader = load_grader(loaded.task.grader_ref)
        for problem in loaded.problems.problems:
            try:
                grader.gold(problem.gold)
            except ValueError as error:
                raise ValueError(f"task {problem.task}, problem {problem.id}: {error}") from None
    return found


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
