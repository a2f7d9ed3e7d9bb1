"""log.parquet: one row a step."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hyperscale.results.schema import Column
from hyperscale.storage.log import LOG, Row, read_log, replace_log

# One line a column keeps the table readable as a table.
# fmt: off
COLUMNS = [
    Column("step", pa.int64(), "", "Step, from 1; those that fade a borrowed neuron out come first."),
    Column("compression_ratio", pa.float64(), "", "CR that the step asked for; 1 while a neuron fades."),
    Column("loss", pa.float64(), "", "kl + aux."),
    Column("kl", pa.float64(), "nats", "KL(student || teacher), mean over the counted tokens."),
    Column("aux", pa.float64(), "", "relu(alpha_target - mean alpha of a row), mean over rows."),
    Column("alpha", pa.float64(), "", "Share given up: mean over rows, layers, KV heads and tokens, noise included."),
    Column("alpha_target", pa.float64(), "", "1 - 1 / compression_ratio."),
    Column("layer_ratios", pa.list_(pa.float64()), "", "1 / (1 - alpha) of each layer: compression reached, if no window held tokens back."),  # noqa: E501
    Column("grad_norm", pa.float64(), "", "Norm of the gradient before it was clipped."),
    Column("lr", pa.float64(), "", "Learning rate."),
    Column("tokens", pa.int64(), "tokens", "Tokens of the step that are no padding."),
    Column("seconds", pa.float64(), "seconds", "Wall-clock time of the step."),
]
# fmt: on

__all__ = ["COLUMNS", "LOG", "Row", "read_log", "write_log"]

_SCHEMA = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])


def write_log(folder: Path, rows: list[Row]) -> None:
    """Replace the log."""
    replace_log(folder, rows, _SCHEMA)
