"""A sweep cut into shards: a run of one task on a range of its problems, the unit that a worker takes and repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hyperscale.config import stable_hash
from hyperscale.executors.base import Assignment


@dataclass(frozen=True)
class Shard:
    """Part of an assignment. Its name is that of its content, so that what did it in part can be found again."""

    name: str
    assignment: Assignment


def cut(assignment: Assignment, problems: int) -> Iterator[Shard]:
    """An assignment in shards of `problems` problems each, the last perhaps smaller, in their order."""
    lacking = list(
        dict.fromkeys([*(job.problem_id for job in assignment.jobs), *(entry[0] for entry in assignment.cut)])
    )
    order = {problem: place for place, problem in enumerate(assignment.problems)}
    lacking.sort(key=order.__getitem__)
    for start in range(0, len(lacking), problems):
        part = within(assignment, set(lacking[start : start + problems]))
        yield Shard(_name(part), part)


def within(assignment: Assignment, problems: set[str]) -> Assignment:
    """What an assignment asks for on these problems. Prompt and gold of a problem stay behind: no worker needs them."""
    return replace(
        assignment,
        problems={key: replace(assignment.problems[key], prompt="", system=None, gold="") for key in sorted(problems)},
        jobs=tuple(job for job in assignment.jobs if job.problem_id in problems),
        cut=tuple(entry for entry in assignment.cut if entry[0] in problems),
    )


def without(assignment: Assignment, done: set[tuple[str, int]]) -> Assignment:
    """What is left of an assignment once these (problem, thread) are there."""
    jobs = []
    for job in assignment.jobs:
        caps = {thread: cap for thread, cap in job.length_caps.items() if (job.problem_id, thread) not in done}
        if caps:
            jobs.append(replace(job, length_caps=caps))
    left = tuple(entry for entry in assignment.cut if (entry[0], entry[1]) not in done)
    return replace(assignment, jobs=tuple(jobs), cut=left)


def threads(shards: Sequence[Shard]) -> int:
    """Threads that shards ask for."""
    return sum(len(shard.assignment.threads()) for shard in shards)


def _name(part: Assignment) -> str:
    asked = {
        "threads": sorted(
            [job.problem_id, thread, cap] for job in part.jobs for thread, cap in job.length_caps.items()
        ),
        "cut": sorted(part.cut),
    }
    return f"{part.run_id}-{stable_hash(asked)}"
