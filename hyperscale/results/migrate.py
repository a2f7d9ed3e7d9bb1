"""Results of an older schema -> this one's, in their folder.

The manifest names the version that counts, and is replaced last. Until then the old parts stand as they were, with new
ones beside them; afterwards the new ones cover the old, which `Parts` deletes. So a migration that is killed has either
not happened, and happens again, or is done.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hyperscale.results.files import replacing
from hyperscale.results.manifest import read_manifest, schema_version, write_manifest
from hyperscale.results.part import encoded, named, parse_name
from hyperscale.results.schema import SCHEMA_VERSION, arrow_schema

_NEW_GRADES = ("strict", "official", "graders_differ")
"""What version 4 added to version 3, null in every older row."""


def migrate(folder: Path) -> str | None:
    """Bring a locked folder to this schema's version; what was done, in one line, or None where nothing was.

    A part that cannot be read is left for `Parts` to find damaged. ValueError where the disk refuses.
    """
    version, content = schema_version(folder), read_manifest(folder)
    if content is None or version == SCHEMA_VERSION:
        return None
    for path in sorted((folder / "grades").glob("*.parquet")):
        part = parse_name(path)
        if part.digest is None:
            _rewrite(path, part.first, part.last)
    write_manifest(folder, content)
    return f"{folder}: migrated from schema version {version} to {SCHEMA_VERSION}"


def _rewrite(path: Path, first: int, last: int) -> None:
    """A part of grades with the new columns, beside the old one."""
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
    except (pa.ArrowException, OSError):
        return
    for name in _NEW_GRADES:
        table = table.append_column(name, pa.nulls(table.num_rows, pa.bool_()))
    schema = arrow_schema("grades")
    if table.column_names != schema.names:
        return
    content = encoded(table.cast(pa.schema([(field.name, field.type) for field in schema])))
    with replacing(named(path.parent, first, last, content).path) as aside:
        aside.write_bytes(content)
