"""Latency(batch, context) of one run: measured cells, joined by straight lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Surface:
    """A value over (batch, context), exact where it was measured, linear in either between.

    At one context it is linear between the batches measured there; beyond the largest it goes on as between the last
    two, but never falls. Between two contexts it is linear in the context; outside of them it is the nearest one's.
    """

    def __init__(self, cells: Sequence[tuple[float, float, float]]) -> None:
        """Take (batch, context, value) of every cell, in any order, each (batch, context) once."""
        assert cells, "a surface needs a cell"
        by_context: dict[float, list[tuple[float, float]]] = {}
        for batch, context, value in sorted(cells):
            by_context.setdefault(context, []).append((batch, value))
        self._contexts = np.array(sorted(by_context), np.float64)
        self._lines = [np.array(by_context[context], np.float64).T for context in self._contexts]

    @property
    def longest(self) -> float:
        """Largest context measured."""
        return float(self._contexts[-1])

    def at(self, batch: float, contexts: NDArray[np.integer] | Floats) -> Floats:
        """Return the value at one batch and each of `contexts`."""
        values = [_at(batch, *line) for line in self._lines]
        return np.interp(np.asarray(contexts, np.float64), self._contexts, values)


def _at(batch: float, batches: Floats, values: Floats) -> float:
    if batch <= batches[-1] or len(batches) == 1:
        return float(np.interp(batch, batches, values))
    slope = (values[-1] - values[-2]) / (batches[-1] - batches[-2])
    return float(values[-1] + max(0.0, slope) * (batch - batches[-1]))


class RunLatency:
    """Surfaces of a run's rows of the latency table: seconds, and the roofline's, of steps and of prefills."""

    def __init__(self, rows: pd.DataFrame) -> None:
        steps, prompts = (rows[rows["kind"] == kind] for kind in ("decode", "prefill"))
        self.budget, self.max_batch = int(rows["memory_budget"].iloc[0]), int(rows["max_batch"].iloc[0])
        self._step = {name: _surface(steps, name) for name in ("seconds", "roofline_seconds")}
        self._prompt = {name: _surface(prompts, name) for name in ("seconds", "roofline_seconds")}
        self._sums: dict[tuple[str, int], Floats] = {}

    @property
    def longest(self) -> float:
        """Largest context that steps were measured at, in tokens."""
        return self._step["seconds"].longest

    def prefill(self, name: str, prompt: int) -> float:
        """Return the seconds of a prompt's prefill; `name` is `seconds` or `roofline_seconds`."""
        return float(self._prompt[name].at(1, np.array([prompt]))[0])

    def shares(self, name: str, batch: int, prompt: int, generated: NDArray[np.integer]) -> Floats:
        """Return each thread's seconds: its share of the steps at contexts P+1, ..., P+G, `batch` threads in each."""
        if (name, batch) not in self._sums:
            steps = self._step[name].at(batch, np.arange(1, int(self.longest) + 1)) / batch
            self._sums[name, batch] = np.concatenate([[0.0], np.cumsum(steps)])
        sums = self._sums[name, batch]
        return np.asarray(sums[prompt + generated] - sums[prompt], np.float64)


def _surface(rows: pd.DataFrame, name: str) -> Surface:
    columns = rows[["batch", "context", name]].itertuples(index=False, name=None)
    return Surface([(float(batch), float(context), float(value)) for batch, context, value in columns])
