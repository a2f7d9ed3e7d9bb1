"""log.parquet: one row per step."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hyperscale.results.schema import Column
from hyperscale.storage.log import LOG, Row, read_log, replace_log

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

__all__ = ["COLUMNS", "LOG", "Row", "read_log", "write_log"]

_SCHEMA = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])


def write_log(folder: Path, rows: list[Row]) -> None:
    """Replace the log."""
    replace_log(folder, rows, _SCHEMA)
