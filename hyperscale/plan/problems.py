"""Load and check a sweep's tasks and problems, before any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperscale.config import SweepConfig
from hyperscale.grading.base import GraderRef
from hyperscale.grading.registry import load_grader, pinned
from hyperscale.tasks.load import LoadedProblems, load_problems, load_task
from hyperscale.tasks.options import check_task_options
from hyperscale.tasks.task import Task
from hyperscale.text import format_tokens

PARTIAL = (
    "PARTIAL RUN: --limit or --problem-id leaves problems out. These are not the benchmarks' numbers; "
    "the results say so (complete = false)."
)


@dataclass(frozen=True)
class LoadedTask:
    """A task and the problems chosen from it."""

    task: Task
    problems: LoadedProblems
    grader: GraderRef
    """The task's grader; a plugin's as its source was when the task was loaded."""


def load_tasks(config: SweepConfig) -> list[LoadedTask]:
    """Load a sweep's tasks and problems; ValueError where one cannot be loaded, or its gold answer not graded."""
    tasks = [load_task(name) for name in config.tasks]
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"--tasks names one task twice: {', '.join(names)}; name each once")
    check_task_options(tasks, config.task_options)
    found = [LoadedTask(task, load(task, config), pinned(task.grader_ref)) for task in tasks]
    for loaded in found:
        grader = load_grader(loaded.grader)
        for problem in loaded.problems.problems:
            try:
                grader.gold(problem.gold)
            except ValueError as error:
                raise ValueError(f"task {problem.task}, problem {problem.id}: {error}") from None
    return found


def no_prompt_fits(task: str, prompts: Sequence[int], longest: int) -> str:
    """Say that all `prompts` (tokens) of a task fill the `longest` L, and the L that would do."""
    least = min(prompts)
    return (
        f"{task}: no prompt leaves room at any L: the shortest of {len(prompts):,} takes {least:,} tokens, the largest "
        f"L is {format_tokens(longest)}; raise --lengths (or --budget) to an L of at least {least + 1:,}"
    )


def load(task: Task, config: SweepConfig) -> LoadedProblems:
    """Load the problems that a sweep chooses from a task; ValueError if they cannot be loaded."""
    return load_problems(
        task,
        data=config.data,
        limit=config.limit,
        problem_ids=config.problem_ids,
        seed=config.seed,
        task_options=config.task_options,
    )
