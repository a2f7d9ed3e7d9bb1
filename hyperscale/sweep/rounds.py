"""Measure decode steps and prefills of runs in turns, within a time for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hyperscale.plan.cells import DECODE, Cell, contexts, decode_cells, prefill_cells
from hyperscale.plan.runs import Run

if TYPE_CHECKING:
    from hyperscale.engines.torch.latency import Probe

ROUNDS = 5
"""Rounds, after one that is not counted."""
STEPS = 3
"""Most steps timed of a cell in a round."""
ROUND_SECONDS = 0.02
"""Seconds of steps that suffice for a cell in a round: a long step is timed once."""
DISTURBED = 0.2
"""Least distance of the quartiles over rounds, as a share of the median, that is told as disturbed."""


class CellTime(NamedTuple):
    """One measured cell."""

    cell: Cell
    seconds: float
    low: float
    """Lower quartile over rounds."""
    high: float
    """Upper quartile over rounds."""
    rounds: int
    steps: int
    reads: float | None
    """KV tokens attended in a step, mean over threads and rows; None for a prefill."""
    held: float | None
    """KV tokens held after it, mean likewise."""

    @property
    def disturbed(self) -> bool:
        """Whether rounds differ too much for the machine to have been this run's alone."""
        return self.high - self.low > DISTURBED * self.seconds


@dataclass(frozen=True)
class Extent:
    """The part of a run that throughput asks for, in tokens."""

    shortest: int
    """Of its prompts."""
    longest: int
    """Of its prompts."""
    lengths: tuple[int, ...]
    """Every L."""


@dataclass
class Subject:
    """A run with its probe; `choose` runs every cell once and keeps those that the time allows."""

    run: Run
    probe: Probe
    extent: Extent
    clock: Callable[[], float] = time.perf_counter
    _times: dict[Cell, list[float]] = field(default_factory=dict)
    _steps: dict[Cell, int] = field(default_factory=dict)
    _rows: dict[Cell, tuple[float, float]] = field(default_factory=dict)

    def choose(self, seconds: float) -> None:
        """Warm up the cells that are needed, and others while ROUNDS more of all cells so far fit into `seconds`."""
        steps = decode_cells(contexts(self.extent.shortest, self.extent.lengths), self.probe.most)
        prompts = prefill_cells(self.extent.shortest, self.extent.longest)
        began = self.clock()
        for cell in chain(steps[0], prompts[0]):
            self._warm(cell)
        for other in chain.from_iterable(zip_longest(prompts[1], steps[1])):
            if (self.clock() - began) * (ROUNDS + 1) >= seconds:
                break
            if other is not None:
                self._warm(other)

    def round(self) -> None:
        """Time every cell once more."""
        for cell, times in self._times.items():
            times.append(median(self._seconds(cell, self._steps[cell])))

    def found(self) -> list[CellTime]:
        """Return the cells, by kind, context and batch."""
        cells = sorted(self._times, key=lambda cell: (cell.kind, cell.context, cell.batch))
        return [self._of(cell) for cell in cells]

    def _of(self, cell: Cell) -> CellTime:
        low, middle, high = np.quantile(self._times[cell], (0.25, 0.5, 0.75)).tolist()
        reads, held = self._rows.get(cell, (None, None))
        return CellTime(cell, middle, low, high, len(self._times[cell]), self._steps[cell], reads, held)

    def _warm(self, cell: Cell) -> None:
        seconds = median(self._seconds(cell, 1))
        self._times[cell] = []
        self._steps[cell] = max(1, min(STEPS, int(ROUND_SECONDS / seconds))) if cell.kind == DECODE else 1

    def _seconds(self, cell: Cell, steps: int) -> list[float]:
        if cell.kind != DECODE:
            return [self.probe.prefill(cell.context)]
        found = self.probe.decode(cell.batch, cell.context, steps)
        self._rows[cell] = found.reads, found.held
        return found.seconds


def take_turns(subjects: Sequence[Subject], seconds: float) -> None:
    """Measure subjects: all choose their cells, then each of ROUNDS takes them one after the other."""
    for subject in subjects:
        subject.choose(seconds)
    for _ in range(ROUNDS):
        for subject in subjects:
            subject.round()
