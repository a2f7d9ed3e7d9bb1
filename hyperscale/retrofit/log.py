"""log.parquet, one row per step, and warnings of a run: a missed ratio, or texts too short for the window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hyperscale.results.schema import Column
from hyperscale.retrofit.batches import Batches, Layout
from hyperscale.storage.files import replacing

LOG = "log.parquet"

Row = dict[str, Any]

# One line per column keeps this readable as a table.
# fmt: off
COLUMNS = [
    Column("step", pa.int64(), "", "Step, from 1; fading steps come first."),
    Column("compression_ratio", pa.float64(), "", "Target CR of the step; 1 while a borrowed neuron fades."),
    Column("loss", pa.float64(), "", "kl + aux."),
    Column("kl", pa.float64(), "nats", "KL(student || teacher), mean over the counted tokens."),
    Column("aux", pa.float64(), "", "relu(alpha_target - mean alpha of a row), mean over rows."),
    Column("alpha", pa.float64(), "", "Share evicted or merged, with noise: mean over rows, layers, heads, tokens."),
    Column("alpha_target", pa.float64(), "", "1 - 1 / compression_ratio."),
    Column("layer_ratios", pa.list_(pa.float64()), "", "1 / (1 - alpha) of each layer: compression reached but for the window."),  # noqa: E501
    Column("grad_norm", pa.float64(), "", "Norm of the gradient before clipping."),
    Column("lr", pa.float64(), "", "Learning rate."),
    Column("tokens", pa.int64(), "tokens", "Tokens of the step without padding."),
    Column("seconds", pa.float64(), "seconds", "Wall-clock time of the step."),
]
# fmt: on

_SCHEMA = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])

RECENT = 10
"""Steps before a checkpoint over which alpha and KL are averaged: a single step is noisy."""
_ENOUGH = 0.9
"""Share of the target CR below which it counts as missed: training lags a little behind a rising target."""
_FEW = 0.1
_FIRST = 4


def read_log(folder: Path, last_step: int) -> list[Row]:
    """Read the rows up to `last_step`, from which a run resumes; later steps are logged again."""
    path = folder / LOG
    if not path.exists():
        return []
    return [row for row in pq.read_table(path).to_pylist() if row["step"] <= last_step]


def replace_log(folder: Path, rows: list[Row], schema: pa.Schema) -> None:
    """Replace the log."""
    with replacing(folder / LOG) as aside:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside)


def write_log(folder: Path, rows: list[Row]) -> None:
    """Replace the log."""
    replace_log(folder, rows, _SCHEMA)


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
