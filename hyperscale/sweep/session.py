"""One process's work on a results folder: what is lacking, generated; what is finished, judged; tables, written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hyperscale.engines.base import Job
from hyperscale.executors.base import Assignment, Delivery, Executor
from hyperscale.grading.code import CodeGrader
from hyperscale.plan.problems import Source
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from hyperscale.process import provenance
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.sample import Row, records
from hyperscale.results.store import Store
from hyperscale.sweep import manifest
from hyperscale.sweep.judge import CASE_COLUMNS, Case, Judge
from hyperscale.sweep.progress import Board, Progress
from hyperscale.sweep.resume import keep_what_all_have, missing
from hyperscale.sweep.tables import Tables
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
class Part:
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
        self, plan: Plan, sources: list[Source], store: Store, judge: Judge,
        interrupt: Interrupt, progress: Progress, load: Load, command: Sequence[str],
    ) -> None:  # fmt: skip
        self.plan, self.config = plan, plan.config
        config, runs = plan.config, plan.runs
        self.store = store
        self.judge = judge
        self.interrupt = interrupt
        self.progress = progress
        self._load = load
        self._executor: Executor | None = None
        self._boards: dict[str, Board] = {}
        self._prompts: dict[tuple[str, str], tuple[int, ...]] = {}
        self._began = time.monotonic()
        self._record = provenance.new_session(command)
        tasks = {
            source.task.name: manifest.describe_task(source.task, source.loaded, runs, config.code_grader)
            for source in sources
        }
        # A folder without a sample, as a failed start leaves it, is nobody's yet; a damaged part may have held any.
        sampled = set(store.read("samples", ["task", "backend"]).itertuples(index=False, name=None))
        old = store.read_manifest() if sampled or store.damaged else None
        if store.damaged and old is not None:
            sampled |= manifest.named(old)
        if (sampled or store.damaged) and old is None:
            raise ValueError(
                f"{config.output_dir} holds samples but no manifest.json, which tells how they were drawn: "
                "restore it, or choose another --output-dir"
            )
        # On disk only once the loaded model is checked too: a refused sweep leaves the folder as it was.
        self._manifest = manifest.opened(old, config, tasks, self._record, sampled)
        for line in store.set_damaged_aside():
            progress.say(line)
        keys = [(task, run.backend, ratio) for task in tasks for run in runs for ratio in run.ratios]
        self._tables = Tables(store, keys)

    def note_sandbox(self, programs: CodeGrader | None) -> None:
        """Enter what programs are run in, where any are."""
        if programs is not None:
            self._record["sandbox"] = programs.describe()

    def prepare(self, source: Source, run: Run) -> Part:
        """Find out what a run of a task lacks, and have the problems judged that lack nothing."""
        run_id = manifest.run_id(self.config, source.task, run)
        problems = {problem.id: problem for problem in source.loaded.problems}
        cases = self._stored_cases(source, run, run_id)
        stored = [row for case in cases.values() for row in case.samples]
        todo = missing(problems, run.length_caps, stored)
        self.store.raise_caps({(run_id, source.task.name, *thread): cap for thread, cap in todo.raised.items()})
        for row in stored:
            row["length_cap"] = todo.raised.get((row["problem_id"], row["thread"]), row["length_cap"])
        keep_what_all_have([case.samples for case in cases.values()], run.length_caps)
        board = self._boards[run_id] = Board(_title(source.task, run), run, len(problems))
        for problem_id in problems:
            lacking = todo.generate.get(problem_id, {})
            for thread in set(range(len(run.length_caps))) - lacking.keys():
                board.found(thread)
            if not lacking:
                self._submit(cases.pop(problem_id))
        return Part(run, run_id, problems, todo.generate, cases, board)

    def check_prompts(self, parts: Sequence[Part]) -> None:
        """ValueError if a prompt still to run does not suit its backend: told before the first part generates."""
        for part in parts:
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

    def generate(self, parts: Sequence[Part]) -> None:
        """Generate what parts lack while nobody interrupts; each chain is on disk before it counts."""
        if not any(part.lacking for part in parts):
            for part in parts:
                self.progress.start(part.board)
            return
        executor = self._loaded()
        for group in [parts] if executor.concurrent else [[part] for part in parts]:
            self._generate(executor, group)
        lacking = sum(len(caps) for part in parts for caps in part.lacking.values())
        if lacking and not self.interrupt.requested:
            raise ValueError(
                f"{lacking} samples did not arrive whole: run the same command again, which makes them anew"
            )

    def _generate(self, executor: Executor, parts: Sequence[Part]) -> None:
        lacking = {part.run_id: part for part in parts if part.lacking}
        for part in parts:
            if not part.lacking or not executor.concurrent:
                self.progress.start(part.board)
        if not lacking or self.interrupt.requested:
            return
        with self.interrupt.breakable():
            of_runs = {part.run_id: executor.run_identity(part.run) for part in lacking.values()}
        for run_id, found in of_runs.items():
            manifest.identify_run(self._manifest, lacking[run_id].run, found)
        self.store.write_manifest(self._manifest)
        assignments = [self._assignment(part) for part in lacking.values()]
        for part in lacking.values():
            part.board.restart()
        shown: Part | None = None if executor.concurrent else next(iter(lacking.values()))
        for delivery in self.interrupt.take(executor.generate(assignments)):
            part = lacking[delivery.run_id]
            if part is not shown:
                self.progress.start(part.board)
                shown = part
            self._keep(part, delivery)

    def _assignment(self, part: Part) -> Assignment:
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
            "engine": self.config.engine,
        }
        problems = {problem_id: part.problems[problem_id] for problem_id in part.lacking}
        return Assignment(part.run, part.run_id, problems, tuple(jobs), tuple(cut), columns)

    def finish(self) -> Report:
        """Wait for the last verdicts, write the tables and close the session."""
        self._harvest(wait=True)
        self._tables.write(self._manifest["tasks"])
        self.store.compact()
        self._save_record()
        return Report(
            self.config.output_dir,
            self._tables.points,
            self._tables.frontiers,
            self._record["generated_samples"],
            self._record["generated_tokens"],
            self.interrupt.requested,
        )

    def _stored_cases(self, source: Source, run: Run, run_id: str) -> dict[str, Case]:
        cases = {
            problem.id: Case(source.task.grader_ref, source.task.aggregate, problem.gold, run.points)
            for problem in source.loaded.problems
        }
        for table, columns in (("samples", CASE_COLUMNS), ("grades", None)):
            frame = self.store.read(table, columns, run_id=run_id)
            for row in records(frame[frame["problem_id"].isin(cases)]):
                getattr(cases[row["problem_id"]], table).append(row)
        return cases

    def _tell_filled(self, part: Part, filled: dict[str, int]) -> None:
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

    def _keep(self, part: Part, delivery: Delivery) -> None:
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

    def _count(self, part: Part, row: Row) -> None:
        self._record["generated_samples"] += 1
        self._record["generated_tokens"] += row["generated_tokens"]
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
            manifest.identify(self._manifest, identity)
            self._record["hardware"] = hardware
            self.store.write_manifest(self._manifest)
        return self._executor

    def _prompt(self, problem: Problem) -> tuple[int, ...]:
        key = problem.task, problem.id
        if key not in self._prompts:
            self._prompts[key] = self._loaded().prompt_tokens(problem)
        return self._prompts[key]

    def _pinned(self) -> Plan:
        """The plan at the revision that the folder's samples come from: a branch may have moved since."""
        known = self._manifest["identity"]["model"].get("resolved_revision")
        return self.plan.at_revision(self.config.revision or known)

    def _submit(self, case: Case) -> None:
        self.judge.submit(case, self._manifest["identity"]["model"].get("answer_prefix", ""))

    def _harvest(self, *, wait: bool = False) -> None:
        for judged in self.judge.done(wait=wait):
            if self.interrupt.requested and any(row["flag"] == "error" for row in judged.grades):
                continue  # The signal may have ended the grading processes, too: the next session judges it.
            self.store.append("grades", judged.grades)
            self._boards[judged.run_id].judged(judged.outcomes)
            self._tables.add(judged.outcomes)
        if self._tables.write_if_due(self._manifest["tasks"]):
            self._save_record()

    def _save_record(self) -> None:
        self._record["finished"] = provenance.now()
        self._record["wall_seconds"] = round(time.monotonic() - self._began, 3)
        self.store.write_manifest(self._manifest)


def _title(task: Task, run: Run) -> str:
    return f"{task.name} | {run.name}"
