"""One process's work on a results folder: generate missing samples, judge finished problems, write the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hyperscale.executors.base import Assignment, Delivery, Executor
from hyperscale.plan.preflight import LoadedTask
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.rows import Row, records
from hyperscale.sweep import manifest
from hyperscale.sweep.disturbance import RunWatch
from hyperscale.sweep.folder import OpenFolder
from hyperscale.sweep.judge import JUDGE_COLUMNS, Judge, ProblemSamples
from hyperscale.sweep.progress import Board, Progress
from hyperscale.sweep.report import Report
from hyperscale.sweep.resume import PendingRun, check_room, keep_what_all_have, missing, no_room_warning
from hyperscale.sweep.write_behind import WriteBehind
from hyperscale.tasks.task import Problem

Load = Callable[[Plan], Executor]
"""Loads the model of a plan."""


class Session:
    """Work of one process on an open folder."""

    def __init__(
        self, plan: Plan, folder: OpenFolder, writer: WriteBehind, judge: Judge, interrupt: Interrupt,
        progress: Progress, load: Load,
    ) -> None:  # fmt: skip
        """Do nothing yet: `load` is called when the first missing thread needs the model."""
        self.plan, self.config = plan, plan.config
        self.folder, self.store = folder, folder.store
        self.writer = writer
        self.judge = judge
        self.interrupt = interrupt
        self.progress = progress
        self._load = load
        self._executor: Executor | None = None
        self._boards: dict[str, Board] = {}
        self._prompts: dict[tuple[str, str], tuple[int, ...]] = {}

    def prepare(self, loaded: LoadedTask, run: Run) -> PendingRun:
        """Compare a run of a task with its stored samples, and submit its finished problems to the judge."""
        run_id = manifest.run_id(self.plan, loaded.task, run)
        problems = {problem.id: problem for problem in loaded.problems.problems}
        unjudged = self._stored(loaded, run, run_id)
        stored = [row for problem in unjudged.values() for row in problem.samples]
        todo = missing(problems, run.length_caps, stored)
        self.store.raise_caps({(run_id, loaded.task.name, *thread): cap for thread, cap in todo.raised.items()})
        for row in stored:
            row["length_cap"] = todo.raised.get((row["problem_id"], row["thread"]), row["length_cap"])
        keep_what_all_have([problem.samples for problem in unjudged.values()], run.length_caps)
        board = self._boards[run_id] = Board(f"{loaded.task.name} | {run.name}", run, len(problems))
        for problem_id in problems:
            lacking = todo.generate.get(problem_id, {})
            for thread in set(range(len(run.length_caps))) - lacking.keys():
                board.found(thread)
            if not lacking:
                self._submit(unjudged.pop(problem_id))
        return PendingRun(run, run_id, problems, todo.generate, unjudged, board)

    def check_prompts(self, pending_runs: Sequence[PendingRun]) -> None:
        """Raise ValueError, before anything is generated, where a prompt still to run cannot be.

        No prompt of a task fits any L, or a backend does not support one.
        """
        check_room(pending_runs, lambda problem: len(self._prompt(problem)), self.interrupt)
        for pending in pending_runs:
            run = pending.run
            for problem_id, caps in pending.lacking.items():
                if self.interrupt.requested:
                    return
                problem = pending.problems[problem_id]
                prompt = len(self._prompt(problem))
                if prompt < max(caps.values()):
                    try:
                        run.policy.check_prompt(prompt, run.cache_budget, run.settings)
                    except ValueError as error:
                        raise ValueError(f"{problem.task} {problem_id}: {error}") from None

    def generate(self, pending_runs: Sequence[PendingRun]) -> None:
        """Generate missing samples until done or interrupted; each is on disk before it counts."""
        if not any(pending.lacking for pending in pending_runs):
            for pending in pending_runs:
                self.progress.start(pending.board)
            return
        executor = self.loaded()
        for group in [pending_runs] if executor.concurrent else [[pending] for pending in pending_runs]:
            self._generate(executor, group)
        lacking = sum(len(caps) for pending in pending_runs for caps in pending.lacking.values())
        if lacking and not self.interrupt.requested:
            raise ValueError(
                f"{lacking} samples did not arrive whole: run the same command again, which makes them anew"
            )

    def _generate(self, executor: Executor, pending_runs: Sequence[PendingRun]) -> None:
        lacking = {pending.run_id: pending for pending in pending_runs if pending.lacking}
        for pending in pending_runs:
            if not pending.lacking or not executor.concurrent:
                self.progress.start(pending.board)
        if not lacking or self.interrupt.requested:
            return
        with self.interrupt.breakable():
            of_runs = {pending.run_id: executor.run_identity(pending.run) for pending in lacking.values()}
        for run_id, found in of_runs.items():
            manifest.identify_run(self.folder.manifest, lacking[run_id].run, found)
        self.folder.write_manifest()
        assignments = [self._assignment(pending) for pending in lacking.values()]
        for pending in lacking.values():
            pending.board.restart()
        # Ray's workers are elsewhere, and so may a server be.
        alone = not executor.concurrent and self.config.engine in ("torch", "vllm")
        watch = RunWatch(next(iter(lacking.values())).board.title) if alone else None
        shown: PendingRun | None = None if executor.concurrent else next(iter(lacking.values()))
        try:
            for delivery in self.interrupt.take(executor.generate(assignments)):
                pending = lacking[delivery.run_id]
                if pending is not shown:
                    self.progress.start(pending.board)
                    shown = pending
                for row in self._keep(delivery, lacking):
                    if watch is not None:
                        watch.take(row)
        finally:
            self.writer.flush()
            self._count(self.writer.stored_samples(), lacking)
        self.harvest()
        self.progress.update()
        if watch is not None:
            self.folder.record.setdefault("runs", []).append(watch.record())
            if warning := watch.warning():
                self.progress.say(warning)

    def _assignment(self, pending: PendingRun) -> Assignment:
        columns = {
            "run_id": pending.run_id,
            "model": self.config.model,
            "backend": pending.run.backend,
            "compression_ratio": pending.run.compression_ratio,
            "cache_budget": pending.run.cache_budget,
            "seed": self.config.seed,
            "engine": self.plan.engine_name,
        }
        assignment = pending.assignment(self._prompt, columns)
        if warning := no_room_warning(assignment):
            self.progress.say(warning)
        return assignment

    def finish(self) -> Report:
        """Wait for the last verdicts, write the tables and end the session's record."""
        self.harvest(wait=True)
        self.writer.close()
        self.folder.tables.write(self.folder.manifest["tasks"])
        self.store.compact()
        self.folder.save()
        return Report(
            self.plan,
            self.folder.tables.points,
            self.folder.tables.frontiers,
            self.folder.record["generated_samples"],
            self.folder.record["generated_tokens"],
            self.interrupt.requested,
        )

    def _stored(self, loaded: LoadedTask, run: Run, run_id: str) -> dict[str, ProblemSamples]:
        found = {
            problem.id: ProblemSamples(loaded.grader, loaded.task.aggregate, problem.gold, run.points)
            for problem in loaded.problems.problems
        }
        for table, columns in (("samples", JUDGE_COLUMNS), ("grades", None)):
            frame = self.store.read(table, columns, run_id=run_id)
            for row in records(frame[frame["problem_id"].isin(found)]):
                getattr(found[row["problem_id"]], table).append(row)
        return found

    def _keep(self, delivery: Delivery, lacking: Mapping[str, PendingRun]) -> list[Row]:
        """Pass a delivery on to be stored, then count the samples that are on disk by now. Returns the delivery's."""
        if delivery.stored is None:
            rows = delivery.rows()
            self.writer.add("samples", rows)
        with self.writer.alone():
            if delivery.closed:
                self.store.adopt(delivery.closed)
            if delivery.stored is not None:
                rows = records(self.store.read_incoming(delivery.stored, JUDGE_COLUMNS))
                self._count(rows, lacking)
        self._count(self.writer.stored_samples(), lacking)
        self.harvest()
        self.progress.update()
        return rows

    def _count(self, rows: Sequence[Row], lacking: Mapping[str, PendingRun]) -> None:
        """Count samples that are on disk; submit the problems that they complete."""
        for row in rows:
            pending = lacking[row["run_id"]]
            if not pending.lacks(row):
                continue  # A worker that was taken for dead may store a thread twice.
            self.folder.record["generated_samples"] += 1
            self.folder.record["generated_tokens"] += row["generated_tokens"]
            if (finished := pending.take(row)) is not None:
                self._submit(finished)

    def loaded(self) -> Executor:
        """Load the model, once, and enter its identity into the manifest."""
        if self._executor is None:
            self.progress.say(f"loading {self.config.model}")
            with self.interrupt.breakable():
                executor = self._load(self._pinned())
                identity, hardware = executor.identity(), executor.hardware()
            self._executor = executor
            manifest.identify(self.folder.manifest, identity)
            self.folder.record["hardware"] = hardware
            self.folder.write_manifest()
        return self._executor

    def _prompt(self, problem: Problem) -> tuple[int, ...]:
        key = problem.task, problem.id
        if key not in self._prompts:
            self._prompts[key] = self.loaded().prompt_tokens(problem)
        return self._prompts[key]

    def _pinned(self) -> Plan:
        """Pin the revision of the folder's samples: a branch may have moved since."""
        known = self.folder.manifest["identity"]["model"].get("resolved_revision")
        return self.plan.at_revision(self.config.revision or known)

    def _submit(self, finished: ProblemSamples) -> None:
        self.judge.submit(finished, self.folder.manifest["identity"]["model"].get("answer_prefix", ""))

    def harvest(self, *, wait: bool = False) -> None:
        """Store the verdicts that are there, or with `wait` all; write the tables if that is due."""
        for judged in self.judge.done(wait=wait):
            if self.interrupt.requested and any(row["flag"] == "error" for row in judged.grades):
                continue  # The signal may have ended the grading processes, too: left to the next session.
            self.writer.add("grades", judged.grades)
            self._boards[judged.run_id].judged(judged.outcomes)
            self.folder.tables.add(judged.outcomes)
        with self.writer.alone():  # The tables are made from the samples, too.
            if self.folder.tables.write_if_due(self.folder.manifest["tasks"]):
                self.folder.save()
