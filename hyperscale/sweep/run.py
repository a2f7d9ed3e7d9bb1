"""Run a sweep: plan -> problems -> samples -> grades -> outcomes, latency -> tables. Resumes after a kill anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from hyperscale.config import SweepConfig
from hyperscale.grading import GradingPool
from hyperscale.grading.code import CodeGrader
from hyperscale.plan.preflight import PARTIAL, LoadedTask, load_tasks
from hyperscale.plan.resolve import Plan
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.store import Store
from hyperscale.sandbox import open_sandbox
from hyperscale.sweep.folder import open_folder
from hyperscale.sweep.judge import Judge
from hyperscale.sweep.latency import measure_latency
from hyperscale.sweep.progress import Progress
from hyperscale.sweep.report import Report
from hyperscale.sweep.resume import set_aside
from hyperscale.sweep.session import Load, Session
from hyperscale.sweep.write_behind import WriteBehind

__all__ = ["Report", "sweep"]


def sweep(plan: Plan, load: Load, progress: Progress, command: Sequence[str] = (), *, force: bool = False) -> Report:
    """Generate the plan's samples that the folder lacks, grade them, and write every table.

    A sample is on disk before it is counted, so the process may die at any moment: the same call completes the folder.
    `load` is called at most once, for the first missing thread. ValueError on user mistakes, before the model is loaded
    except for those that only the model shows. `force` moves old results aside once the problems are loaded.
    """
    tasks = load_tasks(plan.config)
    if any(loaded.problems.partial for loaded in tasks):
        progress.say(PARTIAL)
    with ExitStack() as stack:
        programs = _code_grader(plan.config, tasks, progress)
        if programs is not None:
            stack.callback(programs.close)
        if force:
            # Resolved first: after the move a path relative to the folder, as `.`, would lead into the old one.
            old = plan.config.output_dir.resolve()
            plan = replace(plan, config=plan.config.model_copy(update={"output_dir": old}))
            if moved := set_aside(old):
                progress.say(f"moved the old results to {moved}")
        store = stack.enter_context(Store(plan.config.output_dir, progress.say, tolerant=True))
        # Parts that workers stored for a driver that was killed.
        store.adopt_all()
        interrupt = stack.enter_context(Interrupt())
        grading = stack.enter_context(GradingPool(programs=programs))
        judge = stack.enter_context(Judge(plan.config.seed, grading))
        folder = open_folder(plan, tasks, store, programs, command, progress.say)
        writer = stack.enter_context(WriteBehind(store))
        work = Session(plan, folder, writer, judge, interrupt, progress, load)
        pending = [work.prepare(loaded, run) for loaded in tasks for run in plan.runs_from(loaded.task.min_length)]
        work.check_prompts(pending)
        work.generate(pending)
        measure_latency(work)
        return work.finish()


def _code_grader(config: SweepConfig, tasks: Sequence[LoadedTask], progress: Progress) -> CodeGrader | None:
    """Make the grader of programs, where a task has any; ValueError where this machine cannot run them safely."""
    if all(loaded.task.grader != "code" for loaded in tasks):
        return None
    sandbox = open_sandbox(config.sandbox, confirm_unsafe=config.confirm_run_unsafe_code)
    if not sandbox.isolates:
        progress.say("warning: no sandbox: programs that the model writes run with your rights on this machine")
    return CodeGrader(sandbox, config.code_grader)
