"""Split assignments into shards: a run of one task on some of its problems, the unit of work and of retry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hyperscale.config import stable_hash
from hyperscale.executors.base import Assignment


@dataclass(frozen=True)
class Shard:
    """Part of an assignment, named by a hash of its content, so that a retry finds its stored samples."""

    name: str
    assignment: Assignment


def split(assignment: Assignment, problems: int) -> Iterator[Shard]:
    """Yield shards of `problems` problems each, in their order; the last may be smaller."""
    lacking = list(
        dict.fromkeys([*(job.problem_id for job in assignment.jobs), *(entry[0] for entry in assignment.no_room)])
    )
    order = {problem: place for place, problem in enumerate(assignment.problems)}
    lacking.sort(key=order.__getitem__)
    for start in range(0, len(lacking), problems):
        part = within(assignment, set(lacking[start : start + problems]))
        yield Shard(_name(part), part)


def within(assignment: Assignment, problems: set[str]) -> Assignment:
    """Restrict an assignment to `problems`. Prompts and gold answers are emptied: no worker needs them."""
    return replace(
        assignment,
        problems={key: replace(assignment.problems[key], prompt="", system=None, gold="") for key in sorted(problems)},
        jobs=tuple(job for job in assignment.jobs if job.problem_id in problems),
        no_room=tuple(entry for entry in assignment.no_room if entry[0] in problems),
    )


def without(assignment: Assignment, done: set[tuple[str, int]]) -> Assignment:
    """Remove the (problem, thread) pairs in `done` from an assignment."""
    jobs = []
    for job in assignment.jobs:
        caps = {thread: cap for thread, cap in job.length_caps.items() if (job.problem_id, thread) not in done}
        if caps:
            jobs.append(replace(job, length_caps=caps))
    left = tuple(entry for entry in assignment.no_room if (entry[0], entry[1]) not in done)
    return replace(assignment, jobs=tuple(jobs), no_room=left)


def threads(shards: Sequence[Shard]) -> int:
    """Count the threads of shards."""
    return sum(len(shard.assignment.threads()) for shard in shards)


def _name(part: Assignment) -> str:
    asked = {
        "threads": sorted(
            [job.problem_id, thread, cap] for job in part.jobs for thread, cap in job.length_caps.items()
        ),
        "no_room": sorted(part.no_room),
    }
    return f"{part.run_id}-{stable_hash(asked)}"
