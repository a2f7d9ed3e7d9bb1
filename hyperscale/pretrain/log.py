"""log.parquet of a training run: every 25th step."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hyperscale.pretrain.corpus import KINDS
from hyperscale.storage.log import LOG, Row, read_log, replace_log

__all__ = ["LOG", "Row", "read_log", "write_log"]

_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64()),
        pa.field("tokens", pa.int64()),  # up to this step, without padding
        pa.field("seconds", pa.float64()),  # up to this step, over all sessions
        pa.field("loss", pa.float64()),  # nats per token, verdicts weighted double
        pa.field("lr", pa.float64()),
        *(pa.field(kind, pa.float64()) for kind in KINDS),  # nats per token of the step's chains of this kind
    ]
)


def write_log(folder: Path, rows: list[Row]) -> None:
    """Replace the log."""
    replace_log(folder, rows, _SCHEMA)
