"""Watch a run for other work on the machine: its record in the manifest, and a warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hyperscale.process.contention import Watch, warning
from hyperscale.process.provenance import RunRecord

_SPREAD = 90
"""Percentile of the ratio of successive steps."""


class RunWatch:
    """Watches one run of one task, of which it is given every sample."""

    def __init__(self, name: str) -> None:
        self._name, self._watch = name, Watch()
        self._spread, self._steps = 0.0, 0

    def take(self, row: Mapping[str, Any]) -> None:
        """Add the steps of a sample."""
        threads, micros = row["step_threads"], np.asarray(row["step_micros"], np.float64)
        if threads is None or len(micros) < 3:
            return
        # The first step may bear time that preemption lost.
        step_s, same_s = (micros * threads)[1:], np.diff(np.asarray(threads)[1:]) == 0
        if same_s.any() and (step_s > 0).all():
            ratios = np.exp(np.abs(np.diff(np.log(step_s))))[same_s]
            self._spread += float(np.percentile(ratios, _SPREAD)) * len(ratios)
            self._steps += len(ratios)

    def record(self) -> RunRecord:
        """Return the run's record up to now."""
        spread = round(self._spread / self._steps, 3) if self._steps else None
        return {"run": self._name, "step_spread": spread, **self._watch.look()}

    def warning(self) -> str | None:
        """Say that other work disturbed the run, if it did."""
        return warning(self._name, self._watch.look())
