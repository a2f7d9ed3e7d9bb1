"""Warnings of a run: a missed ratio, or texts too short for the window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from hyperscale.retrofit.batches import Batches, Layout
from hyperscale.retrofit.log import Row

RECENT = 10
"""Steps before a checkpoint over which alpha and KL are averaged: a single step is noisy."""
_ENOUGH = 0.9
"""Share of the target CR below which it counts as missed: training lags a little behind a rising target."""
_FEW = 0.1
_FIRST = 4


class Reached(NamedTuple):
    """Means over the last steps before a checkpoint."""

    kl: float
    alpha: float
    """Share evicted or merged."""
    alpha_target: float
    """Its target."""

    @property
    def ratio(self) -> float:
        """CR that alpha amounts to."""
        return _ratio(self.alpha)

    @property
    def missed(self) -> bool:
        """Whether that is clearly below the target."""
        return self.ratio < _ENOUGH * _ratio(self.alpha_target)

    def warning(self, checkpoint: str) -> str:
        """Return the miss in one line."""
        return (
            f"{checkpoint} missed its target: alpha {self.alpha:.3f} (CR {self.ratio:.2f}) instead of "
            f"{self.alpha_target:.3f} (CR {_ratio(self.alpha_target):.2f}); raise --lr, --scale or "
            "--steps-per-cr"
        )


def reached(rows: Sequence[Row], step: int) -> Reached | None:
    """Average the log before a checkpoint saved after `step`, fading steps left out; None without a row."""
    recent = [row for row in rows if row["step"] <= step and row["compression_ratio"] > 1][-RECENT:]
    if not recent:
        return None
    return Reached(*(sum(row[name] for row in recent) / len(recent) for name in Reached._fields))


def short_text(batches: Batches, done: int, steps: int, window: int) -> str | None:
    """Return a warning if few tokens of the next steps see keys beyond the window, where eviction acts; else None."""
    tokens = beyond = 0
    for step in range(done + 1, min(done + _FIRST, steps) + 1):
        batch = batches.batch(step)
        first_bt = Layout.of(batch).first_bt
        present_bt = batch.document_bt >= 0
        behind_bt = torch.arange(first_bt.shape[1], device=first_bt.device) - first_bt
        tokens += batch.tokens
        beyond += int(((behind_bt > window) & present_bt).sum())
    if not tokens or beyond >= _FEW * tokens:
        return None
    return (
        f"only {beyond / tokens:.1%} of the first tokens see any key beyond --window {window}, where eviction "
        "acts; take longer texts or a smaller --window"
    )


def _ratio(share: float) -> float:
    return 1 / max(1 - share, 1e-9)
