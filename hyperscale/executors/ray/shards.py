"""Split assignments into shards, the unit of work and retry: a run of one task on some of its problems; track them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hyperscale.config import stable_hash
from hyperscale.executors.base import Assignment
from hyperscale.results.incoming import incoming_part, incoming_parts
from hyperscale.storage.remote import is_local

UNSEEN_SECONDS = 120.0
"""Seconds after which a stored part that is not seen here counts as stored in another folder."""


@dataclass(frozen=True)
class Shard:
    """Part of an assignment, named by a hash of its content, so that a retry finds its stored samples."""

    name: str
    assignment: Assignment


@dataclass(frozen=True)
class Stored:
    """Result of a finished shard."""

    parts: tuple[str, ...]
    """Names of the parts that hold its samples."""
    host: str = field(default_factory=socket.gethostname)


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


@dataclass(eq=False)
class TrackedShard:
    """A shard on its way through Ray."""

    shard: Shard
    seen: set[Path] = field(default_factory=set)
    """Parts found so far."""
    _stored: Stored | None = None
    _since: float = 0.0

    def end(self, stored: Stored) -> None:
        """Note that its worker has finished, and the parts that it stored."""
        self._stored, self._since = stored, time.monotonic()

    def new(self, folder: Path) -> Iterator[Path]:
        """Yield its parts in a results folder that were not seen before."""
        parts = incoming_parts(folder, self.shard.name)
        if self._stored is not None and is_local(folder):
            # A shared file system may list new files half a minute late.
            named = (incoming_part(folder, self.shard.name, part) for part in self._stored.parts)
            parts = sorted({*parts, *(part for part in named if part.is_file())})
        for part in parts:
            if part not in self.seen:
                self.seen.add(part)
                yield part

    def is_whole(self, folder: Path) -> bool:
        """Return whether all its stored parts were seen. ValueError where some are missing after UNSEEN_SECONDS."""
        assert self._stored is not None
        lacking = set(self._stored.parts) - {part.name for part in self.seen}
        if lacking and time.monotonic() - self._since > UNSEEN_SECONDS:
            raise ValueError(
                f"{self._stored.host} stored samples in {folder} that are not seen here: --output-dir has to be one "
                "folder that every node of the cluster and this machine see, or a URL such as s3://bucket/sweep"
            )
        return not lacking
