"""Where runs run. The sweep hands out assignments and gets samples back; it knows no more of engines and machines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hyperscale.engines.base import Chain, Engine, Job
from hyperscale.kvcache.shape import CacheShape
from hyperscale.plan.runs import Run
from hyperscale.process import provenance
from hyperscale.results.sample import Row, empty_row, sample_row
from hyperscale.tasks.task import Problem

if TYPE_CHECKING:
    from hyperscale.hardware.roofline import Ceiling


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
    rows: Callable[[], list[Row]] = list
    """Makes the rows to store, where no signal breaks in any more: a chain that has ended is written down whole."""
    stored: Path | None = None
    """Where rows lie that are on disk already."""
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
            engine = self.engine(assignment.run)
            if assignment.cut:
                yield Delivery(assignment.run_id, partial(_empty_rows, assignment, engine.cache_shape))
            ceiling = engine.ceiling if assignment.jobs else None
            for chain in engine.generate(assignment.jobs):
                yield Delivery(assignment.run_id, partial(self._row, assignment, chain, engine.cache_shape, ceiling))

    def _row(self, assignment: Assignment, chain: Chain, shape: CacheShape, ceiling: Ceiling | None) -> list[Row]:
        text, ends = self.text(chain.tokens.tolist())
        row = sample_row(assignment.problems[chain.problem_id], chain, text, ends, shape, ceiling)
        return [{**row, **assignment.columns}]


def _empty_rows(assignment: Assignment, shape: CacheShape) -> list[Row]:
    return [
        {**empty_row(assignment.problems[problem], thread, cap, prompt, shape), **assignment.columns}
        for problem, thread, cap, prompt in assignment.cut
    ]
