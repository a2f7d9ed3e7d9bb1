"""The result of a sweep, for whoever called it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hyperscale.plan.resolve import Plan


@dataclass(frozen=True)
class Report:
    """Result of a sweep."""

    plan: Plan
    points: pd.DataFrame
    frontiers: pd.DataFrame
    generated_samples: int
    generated_tokens: int
    """Samples and tokens of this session alone."""
    interrupted: bool

    @property
    def folder(self) -> Path:
        """Results folder."""
        return self.plan.config.output_dir
