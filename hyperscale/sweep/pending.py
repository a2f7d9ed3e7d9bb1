"""A run of one task that still lacks samples, and the problems that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperscale.engines.base import Job
from hyperscale.executors.base import Assignment
from hyperscale.plan.problems import no_prompt_fits
from hyperscale.plan.runs import Run
from hyperscale.process.interrupt import Interrupt
from hyperscale.results.sample import Row
from hyperscale.sweep.judge import JUDGE_COLUMNS, ProblemSamples
from hyperscale.sweep.progress import Board
from hyperscale.tasks.task import Problem


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
