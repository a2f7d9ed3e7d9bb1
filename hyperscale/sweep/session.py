"""One process's work on a results folder: what is lacking, generated; what is finished, judged; tables, written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hyperscale.engines.base import Job
from hyperscale.executors.base import Assignment, Delivery, Executor
from hyperscale.plan.problems import LoadedTask
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.sample import Row, records
from hyperscale.sweep import manifest
from hyperscale.sweep.folder import OpenFolder
from hyperscale.sweep.judge import CASE_COLUMNS, Case, Judge
from hyperscale.sweep.progress import Board, Progress
from hyperscale.sweep.resume import keep_what_all_have, missing
from hyperscale.tasks.task import Problem, Task

Load = Callable[[Plan], Executor]


@dataclass(frozen=True)
class Report:
    """What a sweep leaves behind."""

    folder: Path
    points: pd.DataFrame
    frontiers: pd.DataFrame
    generated_samples: int
    generated_tokens: int
    interrupted: bool


@dataclass(frozen=True)
class PendingRun:
    """One run of one task: what it still lacks, and the problems whose pools are not yet full."""

    run: Run
    run_id: str
    problems: Mapping[str, Problem]
    lacking: dict[str, dict[int, int]]
    """Problem -> thread -> cap; threads are taken out as they come in."""
    cases: dict[str, Case]
    board: Board


class Session:
    """One process's work on a folder."""

    def __init__(
        self, plan: Plan, folder: OpenFolder, judge: Judge, interrupt: Interrupt, progress: Progress, load: Load
    ) -> None:
        self.plan, self.config = plan, plan.config
        self.folder, self.store = folder, folder.store
        self.judge = judge
        self.interrupt = interrupt
        self.progress = progress
        self._load = load
        self._executor: Executor | None = None
        self._boards: dict[str, Board] = {}
        self._prompts: dict[tuple[str, str], tuple[int, ...]] = {}

    def prepare(self, loaded: LoadedTask, run: Run) -> PendingRun:
        """Find out what a run of a task lacks, and have the problems judged that lack nothing."""
        run_id = manifest.run_id(self.plan, loaded.task, run)
        problems = {problem.id: problem for problem in loaded.problems.problems}
        cases = self._stored_cases(loaded, run, run_id)
        stored = [row for case in cases.values() for row in case.samples]
        todo = missing(problems, run.length_caps, stored)
        self.store.raise_caps({(run_id, loaded.task.name, *thread): cap for thread, cap in todo.raised.items()})
        for row in stored:
            row["length_cap"] = todo.raised.get((row["problem_id"], row["thread"]), row["length_cap"])
        keep_what_all_have([case.samples for case in cases.values()], run.length_caps)
        board = self._boards[run_id] = Board(_title(loaded.task, run), run, len(problems))
        for problem_id in problems:
            lacking = todo.generate.get(problem_id, {})
            for thread in set(range(len(run.length_caps))) - lacking.keys():
                board.found(thread)
            if not lacking:
                self._submit(cases.pop(problem_id))
        return PendingRun(run, run_id, problems, todo.generate, cases, board)

    def check_prompts(self, pending: Sequence[PendingRun]) -> None:
        """ValueError if a prompt still to run does not suit its backend: told before the first part generates."""
        for part in pending:
            run = part.run
            for problem_id, caps in part.lacking.items():
                if self.interrupt.requested:
                    return
                prompt = len(self._prompt(part.problems[problem_id]))
                if prompt < max(caps.values()):
                    try:
                        run.policy.check_prompt(prompt, run.cache_budget, run.settings)
                    except ValueError as error:
                        raise ValueError(f"{part.problems[problem_id].task} {problem_id}: {error}") from None

    def generate(self, pending: Sequence[PendingRun]) -> None:
        """Generate what pending lack while nobody interrupts; each chain is on disk before it counts."""
        if not any(part.lacking for part in pending):
            for part in pending:
                self.progress.start(part.board)
            return
        executor = self._loaded()
        for group in [pending] if executor.concurrent else [[part] for part in pending]:
            self._generate(executor, group)
        lacking = sum(len(caps) for part in pending for caps in part.lacking.values())
        if lacking and not self.interrupt.requested:
            raise ValueError(
                f"{lacking} samples did not arrive whole: run the same command again, which makes them anew"
            )

    def _generate(self, executor: Executor, pending: Sequence[PendingRun]) -> None:
        lacking = {part.run_id: part for part in pending if part.lacking}
        for part in pending:
            if not part.lacking or not executor.concurrent:
                self.progress.start(part.board)
        if not lacking or self.interrupt.requested:
            return
        with self.interrupt.breakable():
            of_runs = {part.run_id: executor.run_identity(part.run) for part in lacking.values()}
        for run_id, found in of_runs.items():
            manifest.identify_run(self.folder.manifest, lacking[run_id].run, found)
        self.store.write_manifest(self.folder.manifest)
        assignments = [self._assignment(part) for part in lacking.values()]
        for part in lacking.values():
            part.board.restart()
        shown: PendingRun | None = None if executor.concurrent else next(iter(lacking.values()))
        for delivery in self.interrupt.take(executor.generate(assignments)):
            part = lacking[delivery.run_id]
            if part is not shown:
                self.progress.start(part.board)
                shown = part
            self._keep(part, delivery)

    def _assignment(self, part: PendingRun) -> Assignment:
        """What a part lacks; problems whose prompts fill the cap of some thread are named, in one line."""
        jobs, cut = [], []
        filled: dict[str, int] = {}
        for problem_id, caps in part.lacking.items():
            problem, prompt = part.problems[problem_id], self._prompt(part.problems[problem_id])
            room = {thread: cap for thread, cap in caps.items() if cap > len(prompt)}
            if room:
                jobs.append(Job(problem.task, problem_id, prompt, room))
            for thread in sorted(caps.keys() - room.keys()):
                filled[problem_id] = len(prompt)
                cut.append((problem_id, thread, caps[thread], len(prompt)))
        self._tell_filled(part, filled)
        columns = {
            "run_id": part.run_id,
            "model": self.config.model,
            "backend": part.run.backend,
            "compression_ratio": part.run.compression_ratio,
            "cache_budget": part.run.cache_budget,
            "seed": self.config.seed,
            "engine": self.plan.engine_name,
        }
        problems = {problem_id: part.problems[problem_id] for problem_id in part.lacking}
        return Assignment(part.run, part.run_id, problems, tuple(jobs), tuple(cut), columns)

    def finish(self) -> Report:
        """Wait for the last verdicts, write the tables and close the session."""
        self._harvest(wait=True)
        self.folder.tables.write(self.folder.manifest["tasks"])
        self.store.compact()
        self.folder.save()
        return Report(
            self.config.output_dir,
            self.folder.tables.points,
            self.folder.tables.frontiers,
            self.folder.record["generated_samples"],
            self.folder.record["generated_tokens"],
            self.interrupt.requested,
        )

    def _stored_cases(self, loaded: LoadedTask, run: Run, run_id: str) -> dict[str, Case]:
        cases = {
            problem.id: Case(loaded.task.grader_ref, loaded.task.aggregate, problem.gold, run.points)
            for problem in loaded.problems.problems
        }
        for table, columns in (("samples", CASE_COLUMNS), ("grades", None)):
            frame = self.store.read(table, columns, run_id=run_id)
            for row in records(frame[frame["problem_id"].isin(cases)]):
                getattr(cases[row["problem_id"]], table).append(row)
        return cases

    def _tell_filled(self, part: PendingRun, filled: dict[str, int]) -> None:
        """Name the problems whose prompts fill the cap of some thread, in one line."""
        if not filled:
            return
        first, tokens = next(iter(filled.items()))
        others = len(filled) - 1
        more = f" (and those of {others} other problem{'s' if others > 1 else ''})" if others else ""
        self.progress.say(
            f"warning: {part.problems[first].task} {first}: a prompt of {tokens} tokens{more} leaves threads no room "
            "under their cap; recorded as cut off, with nothing generated"
        )

    def _keep(self, part: PendingRun, delivery: Delivery) -> None:
        """Samples of a part: on disk before they count, those of a delivery at once."""
        if delivery.closed:
            self.store.adopt(delivery.closed)
        if delivery.stored is not None:
            rows = records(self.store.read_incoming(delivery.stored, CASE_COLUMNS))
        else:
            rows = delivery.rows()
            if rows:
                self.store.append("samples", rows)
        for row in rows:
            # A worker that was taken for dead may have stored a thread twice.
            if row["thread"] in part.lacking.get(row["problem_id"], {}):
                self._count(part, row)
        self._harvest()
        self.progress.update()

    def _count(self, part: PendingRun, row: Row) -> None:
        self.folder.record["generated_samples"] += 1
        self.folder.record["generated_tokens"] += row["generated_tokens"]
        part.board.generated(row["thread"], row["generated_tokens"])
        problem_id, thread = row["problem_id"], row["thread"]
        samples = part.cases[problem_id].samples
        kept = {name: row[name] for name in CASE_COLUMNS}
        samples[:] = [*(other for other in samples if other["thread"] != thread), kept]
        del part.lacking[problem_id][thread]
        if not part.lacking[problem_id]:
            self._submit(part.cases.pop(problem_id))

    def _loaded(self) -> Executor:
        if self._executor is None:
            self.progress.say(f"loading {self.config.model}")
            with self.interrupt.breakable():
                executor = self._load(self._pinned())
                identity, hardware = executor.identity(), executor.hardware()
            self._executor = executor
            manifest.identify(self.folder.manifest, identity)
            self.folder.record["hardware"] = hardware
            self.store.write_manifest(self.folder.manifest)
        return self._executor

    def _prompt(self, problem: Problem) -> tuple[int, ...]:
        key = problem.task, problem.id
        if key not in self._prompts:
            self._prompts[key] = self._loaded().prompt_tokens(problem)
        return self._prompts[key]

    def _pinned(self) -> Plan:
        """The plan at the revision that the folder's samples come from: a branch may have moved since."""
        known = self.folder.manifest["identity"]["model"].get("resolved_revision")
        return self.plan.at_revision(self.config.revision or known)

    def _submit(self, case: Case) -> None:
        self.judge.submit(case, self.folder.manifest["identity"]["model"].get("answer_prefix", ""))

    def _harvest(self, *, wait: bool = False) -> None:
        for judged in self.judge.done(wait=wait):
            if self.interrupt.requested and any(row["flag"] == "error" for row in judged.grades):
                continue  # The signal may have ended the grading processes, too: the next session judges it.
            self.store.append("grades", judged.grades)
            self._boards[judged.run_id].judged(judged.outcomes)
            self.folder.tables.add(judged.outcomes)
        if self.folder.tables.write_if_due(self.folder.manifest["tasks"]):
            self.folder.save()


def _title(task: Task, run: Run) -> str:
    return f"{task.name} | {run.name}"
