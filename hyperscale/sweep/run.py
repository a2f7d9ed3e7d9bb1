"""The corridor: config -> problems -> runs -> chains -> samples -> verdicts -> tables. Resumes anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from hyperscale.config import SweepConfig
from hyperscale.grading import GradingPool
from hyperscale.grading.code import CodeGrader
from hyperscale.plan.problems import PARTIAL, Source, load_sources
from hyperscale.plan.resolve import Plan
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.store import Store
from hyperscale.sandbox import open_sandbox
from hyperscale.sweep.judge import Judge
from hyperscale.sweep.progress import Progress
from hyperscale.sweep.resume import set_aside
from hyperscale.sweep.session import Load, Report, Session

__all__ = ["Report", "sweep"]


def sweep(plan: Plan, load: Load, progress: Progress, command: Sequence[str] = (), *, force: bool = False) -> Report:
    """Generate what the folder lacks of a plan's sweep, grade it, and write every table.

    A sample is on disk before it is counted, so the process may die at any moment: the same call again
    completes the folder. `load` is called once, when the first thread is missing. ValueError on user
    mistakes: all are found before the model is loaded but those that only the model shows. `force` moves
    old results aside once the problems are there.
    """
    for line in plan.left_out:
        progress.say(f"left out: {line}")
    sources = load_sources(plan.config)
    if any(source.loaded.partial for source in sources):
        progress.say(PARTIAL)
    with ExitStack() as stack:
        programs = _code_grader(plan.config, sources, progress)
        if programs is not None:
            stack.callback(programs.close)
        if force:
            # Once the folder has moved, `.` and what else is relative to it would lead into the old one.
            folder = plan.config.output_dir.resolve()
            plan = replace(plan, config=plan.config.model_copy(update={"output_dir": folder}))
            if moved := set_aside(folder):
                progress.say(f"moved the old results to {moved}")
        store = stack.enter_context(Store(plan.config.output_dir, progress.say, tolerant=True))
        # What workers stored and an earlier driver did not live to take in.
        store.adopt_all()
        interrupt = stack.enter_context(Interrupt())
        pool = stack.enter_context(GradingPool(programs=programs))
        judge = stack.enter_context(Judge(plan.config.seed, pool))
        work = Session(plan, sources, store, judge, interrupt, progress, load, command)
        work.note_sandbox(programs)
        parts = [work.prepare(source, run) for source in sources for run in plan.runs]
        work.check_prompts(parts)
        work.generate(parts)
        return work.finish()


def _code_grader(config: SweepConfig, sources: Sequence[Source], progress: Progress) -> CodeGrader | None:
    """What judges programs, where a task asks for them; ValueError where this machine cannot run them safely."""
    if all(source.task.grader != "code" for source in sources):
        return None
    sandbox = open_sandbox(config.sandbox, confirm_unsafe=config.confirm_run_unsafe_code)
    if not sandbox.isolates:
        progress.say("warning: no sandbox: programs that the model writes run with your rights on this machine")
    return CodeGrader(sandbox, config.code_grader)
