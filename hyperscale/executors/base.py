"""The contract of an executor: assignments in, samples out. It hides engines and machines from the sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hyperscale.engines.base import Chain, Engine, Job, WeightsIdentity
from hyperscale.kvcache.shape import CacheShape
from hyperscale.plan.runs import Run
from hyperscale.process import provenance
from hyperscale.process.provenance import Hardware
from hyperscale.results.rows import Row, empty_row, sample_row
from hyperscale.tasks.task import Problem

if TYPE_CHECKING:
    from hyperscale.hardware.roofline import Ceiling


class ModelIdentity(WeightsIdentity, total=False):
    """A loaded model in the folder's identity, as JSON values."""

    resolved_revision: str | None
    """Commit that the hub resolved; None for a local model."""
    chat_template_sha: str | None
    answer_prefix: str
    """Reasoning tag that the chat template puts before an answer, or ""."""


@dataclass(frozen=True)
class Assignment:
    """Missing samples of a run of one task, all or some. Plain values: it is sent to other machines."""

    run: Run
    run_id: str
    problems: Mapping[str, Problem]
    """Problems by id, with all that `jobs` and `no_room` name."""
    jobs: tuple[Job, ...]
    no_room: tuple[tuple[str, int, int, int], ...]
    """(problem, thread, cap, prompt tokens) of threads whose prompt alone fills their cap: nothing is generated."""
    columns: Mapping[str, Any]
    """Columns of samples that are constant in the run."""

    def threads(self) -> set[tuple[str, int]]:
        """Return (problem, thread) of every sample to deliver."""
        generated = {(job.problem_id, thread) for job in self.jobs for thread in job.length_caps}
        return generated | {(problem, thread) for problem, thread, _, _ in self.no_room}


class Delivery(NamedTuple):
    """Samples of one run: rows to store, or a part that a worker has stored already."""

    run_id: str
    rows: Callable[[], list[Row]] = list
    """Makes the rows to store, outside `breakable()`: a finished chain is stored whole."""
    stored: Path | None = None
    """Part that holds the rows, if they are on disk already."""
    closed: tuple[Path, ...] = ()
    """Parts delivered before that no worker appends to any more: they may move into the table."""


class Executor(Protocol):
    """A loaded model, ready to generate."""

    concurrent: bool
    """True if `generate` takes the assignments of all runs at once, to work on them side by side."""

    def identity(self) -> ModelIdentity:
        """Return what the loaded model adds to the folder's identity."""
        ...

    def run_identity(self, run: Run) -> WeightsIdentity:
        """Return what the run's own checkpoint, of a family, adds to that; {} for runs of the model itself."""
        ...

    def prompt_tokens(self, problem: Problem) -> tuple[int, ...]:
        """Tokenize the problem's chat prompt."""
        ...

    def generate(self, assignments: Sequence[Assignment]) -> Iterator[Delivery]:
        """Yield every sample of the assignments once, as it comes in."""
        ...

    def hardware(self) -> Hardware:
        """Describe its machines, for the manifest."""
        ...


class InProcess(ABC):
    """An executor that generates in its own process, one run after the other."""

    concurrent = False

    @abstractmethod
    def engine(self, run: Run) -> Engine:
        """Return the engine for a run's backend and caps."""

    @abstractmethod
    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Decode tokens, special ones left out; return the text and its length in characters after each token."""

    def hardware(self) -> Hardware:
        """Describe this machine."""
        return provenance.hardware()

    def generate(self, assignments: Sequence[Assignment]) -> Iterator[Delivery]:
        """Yield every sample of the assignments once, as its chain ends."""
        for assignment in assignments:
            engine = self.engine(assignment.run)
            if assignment.no_room:
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
        for problem, thread, cap, prompt in assignment.no_room
    ]
