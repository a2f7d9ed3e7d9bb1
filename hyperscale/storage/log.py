"""log.parquet of a training run: a row for each logged step, replaced whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperscale.storage.files import replacing

LOG = "log.parquet"

Row = dict[str, Any]


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
