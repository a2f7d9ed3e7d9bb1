"""Compare a folder with a plan: the threads to generate, by pending run, and the stored chains to reuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from hyperscale.engines.base import Job
from hyperscale.executors.base import Assignment
from hyperscale.plan.preflight import no_prompt_fits
from hyperscale.plan.runs import Run
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.rows import Row
from hyperscale.storage import remote
from hyperscale.storage.lock import hold
from hyperscale.storage.remote import is_local
from hyperscale.sweep.judge import JUDGE_COLUMNS, ProblemSamples
from hyperscale.sweep.progress import Board
from hyperscale.tasks.task import Problem


@dataclass(frozen=True)
class Missing:
    """Differences between a run's stored samples and its caps."""

    generate: dict[str, dict[int, int]] = field(default_factory=dict)
    """Problem -> thread -> cap: threads not stored, or truncated by a lower cap."""
    raised: dict[tuple[str, int], int] = field(default_factory=dict)
    """(problem, thread) -> cap of chains that stopped by themselves: a higher cap does not change them."""


def missing(problem_ids: Iterable[str], length_caps: Sequence[int], stored: Iterable[Mapping[str, Any]]) -> Missing:
    """Compare the caps of a run's threads with its rows of samples.

    A truncated chain is generated again from its start under a higher cap: its KV cache is gone, and prefilling its
    tokens would make its `step_*` columns wrong.
    """
    found = {(row["problem_id"], row["thread"]): row for row in stored}
    result = Missing()
    for problem_id in problem_ids:
        for thread, cap in enumerate(length_caps):
            row = found.get((problem_id, thread))
            if row is not None and row["length_cap"] >= cap:
                continue
            if row is not None and row["finish_reason"] == "stop":
                result.raised[problem_id, thread] = cap
            else:
                result.generate.setdefault(problem_id, {})[thread] = cap
    return result


def keep_what_all_have(problems: Sequence[list[dict[str, Any]]], planned: Sequence[int]) -> None:
    """Remove, in place, threads and lengths beyond the plan that only some problems have.

    A thread counts at an L beyond its planned cap only if every problem has it there: short chains finish first, so
    the surplus of an interrupted wider or longer sweep is biased towards them.
    """
    held: dict[int, list[int]] = {}
    for rows in problems:
        for row in rows:
            held.setdefault(row["thread"], []).append(row["length_cap"])
    plan = dict(enumerate(planned))
    fair = {
        thread: max(plan.get(thread, 0), min(caps) if len(caps) == len(problems) else 0)
        for thread, caps in held.items()
    }
    for rows in problems:
        for row in rows:
            row["length_cap"] = min(row["length_cap"], fair[row["thread"]])
        rows[:] = [row for row in rows if row["length_cap"]]


@dataclass(frozen=True)
class PendingRun:
    """One run of one task: its missing threads, and the problems whose pools are not yet full."""

    run: Run
    run_id: str
    problems: Mapping[str, Problem]
    lacking: dict[str, dict[int, int]]
    """Problem -> thread -> cap; threads are removed as their samples are stored."""
    unjudged: dict[str, ProblemSamples]
    """Stored samples of each problem in `lacking`."""
    board: Board

    def assignment(self, prompt_of: Callable[[Problem], tuple[int, ...]], columns: Mapping[str, Any]) -> Assignment:
        """Assign the missing threads; `columns` are constant in the run."""
        jobs: list[Job] = []
        no_room: list[tuple[str, int, int, int]] = []
        for problem_id, caps in self.lacking.items():
            problem = self.problems[problem_id]
            prompt = prompt_of(problem)
            room = {thread: cap for thread, cap in caps.items() if cap > len(prompt)}
            if room:
                jobs.append(Job(problem.task, problem_id, prompt, room))
            no_room += ((problem_id, thread, caps[thread], len(prompt)) for thread in sorted(caps.keys() - room.keys()))
        problems = {problem_id: self.problems[problem_id] for problem_id in self.lacking}
        return Assignment(self.run, self.run_id, problems, tuple(jobs), tuple(no_room), columns)

    def lacks(self, row: Row) -> bool:
        """Return whether a sample's thread is missing."""
        return row["thread"] in self.lacking.get(row["problem_id"], {})

    def take(self, row: Row) -> ProblemSamples | None:
        """Take in a missing thread's stored sample; return its problem's samples once all threads are stored."""
        problem_id, thread = row["problem_id"], row["thread"]
        self.board.generated(thread, row["generated_tokens"])
        samples = self.unjudged[problem_id].samples
        kept = {name: row[name] for name in JUDGE_COLUMNS}
        samples[:] = [*(other for other in samples if other["thread"] != thread), kept]
        del self.lacking[problem_id][thread]
        return None if self.lacking[problem_id] else self.unjudged.pop(problem_id)


def check_room(
    pending_runs: Sequence[PendingRun], prompt_tokens: Callable[[Problem], int], interrupt: Interrupt
) -> None:
    """Raise ValueError where a task lacks samples, and every prompt of it fills the largest L that is planned."""
    longest: dict[str, int] = {}
    problems: dict[str, Mapping[str, Problem]] = {}
    for pending in pending_runs:
        task = next(iter(pending.problems.values())).task
        longest[task] = max(longest.get(task, 0), pending.run.length_cap)
        if pending.lacking:
            problems[task] = pending.problems
    for task, of_task in problems.items():
        prompts: list[int] = []
        for problem in of_task.values():
            if interrupt.requested:
                return
            prompts.append(prompt_tokens(problem))
            if prompts[-1] < longest[task]:
                break
        else:
            raise ValueError(no_prompt_fits(task, prompts, longest[task]))


def no_room_warning(assignment: Assignment) -> str | None:
    """Name the problems whose prompts fill the cap of a thread, in one line; None without any."""
    filled = {problem: tokens for problem, _, _, tokens in assignment.no_room}
    if not filled:
        return None
    first, tokens = next(iter(filled.items()))
    others = len(filled) - 1
    more = f" (and those of {others} other problem{'s' if others > 1 else ''})" if others else ""
    return (
        f"warning: {assignment.problems[first].task} {first}: a prompt of {tokens} tokens{more} leaves threads no room "
        "under their cap; recorded as truncated, with nothing generated"
    )


def set_aside(folder: Path) -> Path | None:
    """Move a results folder to the first free NAME.bak-N and return that; None if there is no folder.

    Its contents are not read: a damaged one moves as well. Behind a URL its files are copied, then deleted, the
    manifest first: the rest after a kill is refused by a sweep, and moved by the next --force. ValueError while another
    process works in it, or where it is no results folder.
    """
    if not is_local(folder):
        return _set_url_aside(folder)
    folder = folder.resolve()
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    _require_results(folder, (folder / "manifest.json").is_file() or (folder / "samples").is_dir())
    target = next(path for path in _backups(folder) if not path.exists())
    lock = hold(folder)
    try:
        folder.rename(target)
    finally:
        lock.release()
    return target


def _set_url_aside(folder: Path) -> Path | None:
    names = _files(folder)
    if not names:
        return None
    _require_results(folder, any(name == "manifest.json" or name.startswith("samples/") for name in names))
    lock = hold(folder)
    try:
        target = next(path for path in _backups(folder) if not remote.walked(path))
        # The manifest is copied last and deleted first, as a folder with one counts as whole; samples the other way
        # round, as a folder with samples and no manifest is refused.
        names = sorted(_files(folder), key=lambda name: (name == "manifest.json", not name.startswith("samples/")))
        for name in names:
            lock.check()
            remote.copy(folder / name, target / name)
        remote.delete([folder / name for name in reversed(names)])
    finally:
        lock.release()
    return target


def _files(folder: Path) -> list[str]:
    return [name for name in remote.walked(folder) if not name.startswith(".lock/")]


def _require_results(folder: Path, found: bool) -> None:
    if not found:
        raise ValueError(
            f"--force moves only results folders, and {folder} holds neither manifest.json nor samples/: "
            "choose another --output-dir"
        )


def _backups(folder: Path) -> Iterator[Path]:
    return (folder.with_name(f"{folder.name}.bak-{n}") for n in count(1))
