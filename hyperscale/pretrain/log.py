"""log.parquet of a training run: every 25th step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperscale.pretrain.corpus import KINDS
from hyperscale.results.files import replacing

LOG = "log.parquet"

Row = dict[str, Any]

_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64()),
        pa.field("tokens", pa.int64()),  # seen so far, without padding
        pa.field("seconds", pa.float64()),  # so far, over all sessions
        pa.field("loss", pa.float64()),  # nats a token, verdicts weighed double
        pa.field("lr", pa.float64()),
        *(pa.field(kind, pa.float64()) for kind in KINDS),  # nats a token of the step's chains of this kind
    ]
)


def read_log(folder: Path, last_step: int) -> list[Row]:
    """Rows up to a step: what was logged beyond the state that a run goes on from will be logged again."""
    path = folder / LOG
    if not path.exists():
        return []
    return [row for row in pq.read_table(path).to_pylist() if row["step"] <= last_step]


def write_log(folder: Path, rows: list[Row]) -> None:
    """Replace the log."""
    with replacing(folder / LOG) as aside:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), aside)
