"""Where runs run. The sweep hands out assignments and gets samples back; it knows no more of engines and machines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hyperscale import provenance
from hyperscale.engines.base import Engine, Job
from hyperscale.grid import Run
from hyperscale.rows import Row, empty_row, sample_row
from hyperscale.tasks import Problem


@dataclass(frozen=True)
class Assignment:
    """What a run of one task lacks, or a part of that. Plain values: it travels to other machines."""

    run: Run
    run_id: str
    problems: Mapping[str, Problem]
    """Problems by id; every one that `jobs` and `cut` name is among them."""
    jobs: tuple[Job, ...]
    cut: tuple[tuple[str, int, int, int], ...]
    """(problem, thread, cap, prompt tokens) of threads whose prompt alone fills their cap: nothing to generate."""
    columns: Mapping[str, Any]
    """Columns of samples that are constant in the run."""

    def threads(self) -> set[tuple[str, int]]:
        """(problem, thread) of every sample that it asks for."""
        generated = {(job.problem_id, thread) for job in self.jobs for thread in job.length_caps}
        return generated | {(problem, thread) for problem, thread, _, _ in self.cut}


class Delivery(NamedTuple):
    """Samples of one run: rows to be stored, or a part that a worker has stored already."""

    run_id: str
    rows: list[Row]
    stored: Path | None = None
    """Where the rows lie, if they are on disk; `rows` is empty then."""
    closed: tuple[Path, ...] = ()
    """Parts that were delivered before and that nobody adds to any more: they may move into the table."""


class Executor(Protocol):
    """A model, ready to generate."""

    concurrent: bool
    """Whether it wants the assignments of all runs at once, to work on them side by side."""

    def identity(self) -> dict[str, Any]:
        """What the loaded model adds to the folder's identity, as JSON values.

        Its `answer_prefix` is the reasoning tag that the chat template itself puts before an answer, or "".
        """
        ...

    def run_identity(self, run: Run) -> dict[str, Any]:
        """What a checkpoint of the run's own, of a family, adds to that; {} for runs of the model itself."""
        ...

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """The problem's chat prompt, tokenized."""
        ...

    def generate(self, assignments: Sequence[Assignment]) -> Iterator[Delivery]:
        """Every sample that is asked for, once, as it comes in."""
        ...

    def hardware(self) -> dict[str, Any]:
        """What it runs on, for the manifest."""
        ...


class InProcess(ABC):
    """Executors that generate where they are, one run after the other."""

    concurrent = False

    @abstractmethod
    def engine(self, run: Run) -> Engine:
        """Engine for a run's backend and caps."""

    @abstractmethod
    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Generated tokens as text, special ones left out, and its length in characters after each token."""

    def hardware(self) -> dict[str, Any]:
        """This machine."""
        return provenance.hardware()

    def generate(self, assignments: Sequence[Assignment]) -> Iterator[Delivery]:
        """Every sample that is asked for, each as soon as it is there."""
        for assignment in assignments:
            engine, problems, columns = self.engine(assignment.run), assignment.problems, assignment.columns
            shape = engine.cache_shape
            if assignment.cut:
                empty = (
                    empty_row(problems[problem], thread, cap, prompt, shape)
                    for problem, thread, cap, prompt in assignment.cut
                )
                yield Delivery(assignment.run_id, [{**row, **columns} for row in empty])
            ceiling = engine.ceiling if assignment.jobs else None
            for chain in engine.generate(assignment.jobs):
                text, ends = self.text(chain.tokens.tolist())
                row = sample_row(problems[chain.problem_id], chain, text, ends, shape, ceiling)
                yield Delivery(assignment.run_id, [{**row, **columns}])
