"""Load and check tasks, and refuse backends, gates, positions and memory that do not suit a sweep, before any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyperscale.backends import backend_class
from hyperscale.backends.memory import block_bounds_for, cache_shape, pool_blocks
from hyperscale.config import SweepConfig
from hyperscale.engines import ENGINES, TORCH, engine_names
from hyperscale.grading.base import GraderRef
from hyperscale.grading.registry import load_grader, pinned
from hyperscale.plugins import unknown
from hyperscale.tasks.checks import check_task_options
from hyperscale.tasks.load import LoadedProblems, load_problems, load_task
from hyperscale.tasks.task import Task
from hyperscale.text import format_tokens

if TYPE_CHECKING:
    import torch

    from hyperscale.plan.runs import Run

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
    for task in tasks:
        if max(config.lengths) < task.min_length:
            raise ValueError(
                f"task {task.name} cannot be solved below L = {format_tokens(task.min_length)} (its min_length), and "
                f"the largest L of the grid is {format_tokens(max(config.lengths))}: raise --lengths or --budget"
            )
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


def check_engine(config: SweepConfig) -> None:
    """Refuse an unknown --engine, or a plugin that cannot be loaded, with a ValueError."""
    known = engine_names()
    try:
        if config.engine not in known and ".py" not in config.engine:
            raise ValueError(unknown("engine", config.engine, known))
        if config.engine not in (TORCH, *ENGINES.builtins):
            ENGINES.load(config.engine)
    except ValueError as error:
        raise ValueError(f"--engine: {error}") from None


def check_backends(config: SweepConfig) -> None:
    """Refuse unknown --backends, options of other backends, and --cr without a compressing backend or the reverse.

    ValueError names the flag at fault.
    """
    names = []
    for source in config.backends:
        try:
            names.append(backend_class(source).name)
        except ValueError as error:
            raise ValueError(f"--backends: {error}") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"--backends names {twice[0]} twice: {', '.join(config.backends)}")
    for backend, field, _ in config.backend_options:
        if backend not in names:
            raise ValueError(f"--backend-option {backend}.{field}: {backend} is not among --backends")
    if config.compression_ratios and names == ["vanilla"]:
        raise ValueError("--cr needs a backend that compresses: vanilla keeps every token (CR 1)")
    compressing = [name for name in names if name != "vanilla"]
    if compressing and not config.compression_ratios:
        raise ValueError(f"--backends {', '.join(compressing)}: say how much to compress with --cr, such as --cr 4,8")


def check_run(run: Run, config: SweepConfig) -> None:
    """Refuse a run whose checkpoint lacks its gates or its positions, or whose cache --memory-budget cannot hold.

    ValueError names the flag at fault. A run without a spec is not checked.
    """
    if run.spec is None:
        return
    run.policy.check_gates(run.spec.gates)
    longest = max(config.lengths)
    if longest > run.spec.max_length:
        raise ValueError(
            f"L = {format_tokens(longest)} is beyond the {format_tokens(run.spec.max_length)} positions of "
            f"{config.model}: lower --lengths or --budget"
        )
    if config.dtype != "auto":
        import torch

        check_memory(run, config, getattr(torch, config.dtype))


def check_memory(run: Run, config: SweepConfig, dtype: torch.dtype) -> None:
    """Refuse a run where --memory-budget does not hold one thread, its cache stored as `dtype`: ValueError."""
    if config.memory_budget is None or run.spec is None:
        return
    shape = cache_shape(run.spec, dtype, run.policy)
    reserve = block_bounds_for(run.spec, run.policy, run.settings, run.cache_budget)
    pool_blocks(shape, config.memory_budget, config.max_batch, run.length_cap, reserve)
