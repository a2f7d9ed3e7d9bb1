"""Results of an older schema -> this one's, in their folder.

The manifest names the version that counts, and is replaced last. Until then the old parts stand as they were, with new
ones beside them; afterwards the new ones cover the old, which `Parts` deletes. So a migration that is killed has either
not happened, and happens again, or is done.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hyperscale.results.manifest import read_manifest, schema_version, write_manifest
from hyperscale.results.part import Part, encoded, named, parse_name, sound_bytes
from hyperscale.results.rows import KEYS
from hyperscale.results.schema import NEW_COLUMNS, SCHEMA_VERSION, arrow_schema
from hyperscale.storage.files import listed, write


def migrate(folder: Path) -> str | None:
    """Bring a locked folder to this schema's version; what was done, in one line, or None where nothing was.

    A part that cannot be read is left for `Parts` to find damaged. ValueError where the disk refuses.
    """
    version, content = schema_version(folder), read_manifest(folder)
    if content is None or version == SCHEMA_VERSION:
        return None
    for table in KEYS:
        for path in listed(folder / table):
            _rewrite(table, parse_name(path))
    write_manifest(folder, content)
    return f"{folder}: migrated from schema version {version} to {SCHEMA_VERSION}"


def _rewrite(name: str, part: Part) -> None:
    """A part of a table with the columns that it lacks, null, beside the old one."""
    try:
        # A damaged part must not get a digest that says it is sound.
        table = pq.read_table(pa.BufferReader(sound_bytes(part)))
    except (pa.ArrowException, OSError):
        return
    schema = arrow_schema(name)
    lacking = [field for field in schema if field.name in NEW_COLUMNS[name] and field.name not in table.column_names]
    for field in lacking:
        table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    if not lacking or set(table.column_names) != set(schema.names):
        return
    content = encoded(table.select(schema.names).cast(pa.schema([(field.name, field.type) for field in schema])))
    write(named(part.path.parent, part.first, part.last, content).path, content)
