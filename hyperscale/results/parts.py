"""An append-only table: a folder of parquet part files, each written once, whole or not at all.

A part is named after the appends it holds and the digest of its bytes, `part-FIRST-LAST-DIGEST.parquet`. Merging
parts 3, 4 and 5 writes `part-3-5` and then deletes the three. The rename is the commit: the next to open the folder
sees that the range 3-5 covers the leftovers and deletes them. Every part is compared with its digest when the folder is
opened, and again when it is read whole.

Behind a URL a part is put instead of renamed, and downloaded once, to a copy on this machine's disk. Two parts of one
range, left by a merge or by a writer that had lost its lock, stay until they are merged; of a key in both, the rules of
the store choose one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hyperscale.results.part import Part, encoded, named, parse_name, sound_bytes
from hyperscale.storage.files import listed, make, move, remove, remove_leftovers, write
from hyperscale.storage.remote import Copies, is_local

_MERGED_BYTES = 32 << 20


class Parts:
    """Read and append the parts of one table, oldest first. The caller holds the folder's lock."""

    def __init__(self, folder: Path, schema: pa.Schema, *, tolerant: bool = False) -> None:
        """Open or make `folder`, and delete the leftovers of killed writers.

        ValueError where a part is damaged; with `tolerant` it is left out instead, for `set_damaged_aside`.
        """
        # Units and meanings in thousands of footers would weigh more than a short chain.
        self.schema = pa.schema([(field.name, field.type) for field in schema])
        self.damaged: list[Path] = []
        self._folder = folder
        self._copies = None if is_local(folder) else Copies()
        self._known: dict[Part, dict[str, pa.ChunkedArray]] = {}
        make(folder)
        remove_leftovers(folder)
        self._parts: list[Part] = []
        covered: list[Part] = []
        for part in self._sound(tolerant):
            last = self._parts[-1] if self._parts else None
            if last is None or part.first > last.last or part[1:3] == last[1:3]:
                self._parts.append(part)
            elif part.last <= last.last:
                covered.append(part)
            else:
                raise ValueError(f"{part.path} and {last.path.name} overlap: move one of them away")
        self._remove(covered)

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """Return `columns` without rows."""
        return pa.schema([self.schema.field(name) for name in columns]).empty_table()

    def append(self, table: pa.Table) -> None:
        """Add one part. Once this returns no crash loses its rows."""
        self._parts.append(self._write(table, self._next(), self._next()))

    def take_in(self, path: Path, content: bytes) -> None:
        """Move a file, whose bytes are `content`, to be the newest part.

        A kill leaves the file in one of the two places, or behind a URL in both.
        """
        part = named(self._folder, self._next(), self._next(), content)
        move(path, part.path)
        self._keep(part, content)
        self._parts.append(part)

    def read(self, part: Part, columns: Sequence[str]) -> pa.Table:
        """Read `columns` of a part, in that order; ValueError naming the file where it is damaged."""
        whole = list(columns) == self.schema.names
        try:
            with pq.ParquetFile(pa.BufferReader(self._content(part)) if whole else self._file(part)) as file:
                if not file.schema_arrow.equals(self.schema):
                    raise ValueError(f"{part.path} has other columns than this version's: move it away")
                return file.read(columns=list(columns)).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _damage(part.path, error) from error

    def remembered(self, part: Part, columns: Sequence[str]) -> pa.Table:
        """Read as `read` does and keep the columns in memory, while the part exists."""
        known = self._known.setdefault(part, {})
        lacking = [name for name in columns if name not in known]
        if lacking:
            known.update(zip(lacking, self.read(part, lacking).columns, strict=True))
        return pa.table([known[name] for name in columns], schema=self.empty(columns).schema)

    def set_damaged_aside(self, folder: Path) -> list[Path]:
        """Move the damaged parts into `folder`, which no reader opens; return their paths there."""
        moved = [folder / f"{self._folder.name}-{path.name}" for path in self.damaged]
        if moved:
            make(folder)
        for path, target in zip(self.damaged, moved, strict=True):
            move(path, target)
        self.damaged = []
        return moved

    def merge(self, keep: Sequence[NDArray[np.bool_]]) -> None:
        """Drop every row that `keep` (a mask for each part) leaves out, and join neighbouring small parts.

        Crash-safe: kept rows are on disk at every moment. `keep` may drop a row only if that stays right when no other
        part is rewritten.
        """
        assert len(keep) == len(self._parts)
        before = list(self._parts)
        for group in self._groups():
            parts = before[group]
            if len(parts) == 1 and keep[group.start].all():
                continue
            tables = [self.read(part, self.schema.names) for part in parts]
            table = pa.concat_tables(
                [rows.filter(pa.array(mask)) for rows, mask in zip(tables, keep[group], strict=True)]
            )
            made = [self._write(table, parts[0].first, parts[-1].last)] if table.num_rows else []
            place = self._parts.index(parts[0])
            self._parts[place : place + len(parts)] = made
            self._remove([part for part in parts if part not in made])

    def clear(self) -> None:
        """Delete all rows."""
        self._remove(self._parts)
        self._parts = []

    def _sound(self, tolerant: bool) -> list[Part]:
        """List the undamaged parts by range, a wider one before those that it covers."""
        found = sorted(map(parse_name, listed(self._folder)), key=lambda part: (part.first, -part.last, part.path.name))
        if self._copies is not None:
            self._copies.fetch([part.path for part in found])
        sound = []
        for part in found:
            try:
                self._content(part)
            except OSError as error:
                if not tolerant:
                    raise _damage(part.path, error) from error
                self.damaged.append(part.path)
            else:
                sound.append(part)
        return sound

    def _groups(self) -> list[slice]:
        """Group neighbours that together stay small, so that merging needs little memory and rewrites little."""
        groups: list[slice] = []
        total = 0
        for index, part in enumerate(self._parts):
            size = self._file(part).stat().st_size
            if groups and total + size <= _MERGED_BYTES:
                groups[-1] = slice(groups[-1].start, index + 1)
                total += size
            else:
                groups.append(slice(index, index + 1))
                total = size
        return groups

    def _next(self) -> int:
        # Parts are in the order of their ranges.
        return self._parts[-1].last + 1 if self._parts else 1

    def _write(self, table: pa.Table, first: int, last: int) -> Part:
        same = table.schema.equals(self.schema)
        content = encoded(pa.table(table.columns, schema=self.schema) if same else table.cast(self.schema))
        part = named(self._folder, first, last, content)
        write(part.path, content)
        self._keep(part, content)
        return part

    def _remove(self, parts: Sequence[Part]) -> None:
        remove([part.path for part in parts])
        for part in parts:
            self._known.pop(part, None)
        if self._copies is not None:
            self._copies.forget([part.path for part in parts])

    def _file(self, part: Part) -> Path:
        """Return a local file of a part."""
        return part.path if self._copies is None else self._copies.of(part.path)

    def _content(self, part: Part) -> bytes:
        """Read a part; OSError where it cannot be read or has another digest."""
        try:
            return sound_bytes(part._replace(path=self._file(part)))
        except OSError:
            if self._copies is None:
                raise
            # A broken download, perhaps.
            self._copies.forget([part.path])
            return sound_bytes(part._replace(path=self._file(part)))

    def _keep(self, part: Part, content: bytes) -> None:
        if self._copies is not None:
            self._copies.keep(part.path, content)


def _damage(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())
    return ValueError(
        f"{path} is damaged ({reason}): restore it, or delete it and run the command that wrote it again, which makes "
        "its rows anew"
    )
