"""An append-only table: a folder of parquet part files, each written once, whole or not at all.

A part is named after the appends it holds and the digest of its bytes, `part-FIRST-LAST-DIGEST.parquet`. Merging
parts 3, 4 and 5 writes `part-3-5` and then deletes the three: its rename alone is the commit, because whoever opens
the folder next sees that the range 3-5 covers the leftovers and deletes them. Every part is compared with its digest
when the folder is opened, and again when it is read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hyperscale.results.files import move, remove, remove_leftovers, replacing
from hyperscale.results.part import Part, encoded, named, parse_name, sound_bytes

_MERGED_BYTES = 32 << 20


class Parts:
    """The parts of one table, oldest first. The caller holds the folder's lock."""

    def __init__(self, folder: Path, schema: pa.Schema, *, tolerant: bool = False) -> None:
        """Open or make `folder`, clearing away what a killed writer left.

        ValueError where a part is damaged; with `tolerant` it is left out instead, for `set_damaged_aside`.
        """
        # Units and meanings in thousands of footers would weigh more than a short chain.
        self.schema = pa.schema([(field.name, field.type) for field in schema])
        self.damaged: list[Path] = []
        self._folder = folder
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        self._parts: list[Part] = []
        covered = []
        for part in self._sound(tolerant):
            if self._parts and part[1:3] == self._parts[-1][1:3] and self._is_older(self._parts[-1]):
                # What a migration left beside its successor.
                covered.append(self._parts[-1].path)
                self._parts[-1] = part
            elif self._parts and part.last <= self._parts[-1].last:
                covered.append(part.path)
            elif self._parts and part.first <= self._parts[-1].last:
                raise ValueError(f"{part.path} and {self._parts[-1].path.name} overlap: move one of them away")
            else:
                self._parts.append(part)
        remove(covered)
        self._parts = [part if part.digest else self._signed(part) for part in self._parts]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """No rows of `columns`."""
        return pa.schema([self.schema.field(name) for name in columns]).empty_table()

    def append(self, table: pa.Table) -> None:
        """Add one part. Once this returns no crash loses its rows."""
        number = self._parts[-1].last + 1 if self._parts else 1
        self._parts.append(self._write(table, number, number))

    def read(self, part: Part, columns: Sequence[str]) -> pa.Table:
        """`columns` of a part, in that order; ValueError naming the file where it is damaged."""
        whole = list(columns) == self.schema.names
        try:
            with pq.ParquetFile(pa.BufferReader(sound_bytes(part)) if whole else part.path) as file:
                if not file.schema_arrow.equals(self.schema):
                    raise ValueError(f"{part.path} has other columns than this version's: move it away")
                return file.read(columns=list(columns)).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _damage(part.path, error) from error

    def set_damaged_aside(self, folder: Path) -> list[Path]:
        """Move the damaged parts into `folder`, where no reader takes them for parts; where they are then."""
        moved = [folder / f"{self._folder.name}-{path.name}" for path in self.damaged]
        if moved:
            folder.mkdir(exist_ok=True)
        for path, target in zip(self.damaged, moved, strict=True):
            move(path, target)
        self.damaged = []
        return moved

    def merge(self, keep: Sequence[NDArray[np.bool_]]) -> None:
        """Drop every row that `keep` (a mask for each part) leaves out, and join neighbouring small parts.

        Crash-safe: rows that `keep` holds are on disk at every moment. `keep` may drop a row only if that
        stays right when no other part is rewritten.
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
            remove([part.path for part in parts if part not in made])

    def clear(self) -> None:
        """Delete all rows."""
        remove([part.path for part in self._parts])
        self._parts = []

    def _sound(self, tolerant: bool) -> list[Part]:
        """The parts on disk that are whole, in their order; of one range first the one with a digest."""
        found = map(parse_name, self._folder.glob("*.parquet"))
        sound = []
        for part in sorted(found, key=lambda part: (part.first, -part.last, not part.digest, part.path)):
            try:
                content = sound_bytes(part)
                if not part.digest:
                    pq.read_table(pa.BufferReader(content))
            except (pa.ArrowException, OSError) as error:
                if not tolerant:
                    raise _damage(part.path, error) from error
                self.damaged.append(part.path)
            else:
                sound.append(part)
        return sound

    def _is_older(self, part: Part) -> bool:
        """Whether a part has other columns than this version's."""
        return not pq.read_schema(pa.BufferReader(part.path.read_bytes())).equals(self.schema)

    def _signed(self, part: Part) -> Part:
        """A part of a version without digests under its new name, unless its columns are others."""
        content = part.path.read_bytes()
        if not pq.read_schema(pa.BufferReader(content)).equals(self.schema):
            return part
        signed = named(self._folder, part.first, part.last, content)
        move(part.path, signed.path)
        return signed

    def _groups(self) -> list[slice]:
        """Neighbours that together stay small, so that merging needs little memory and rewrites little."""
        groups: list[slice] = []
        total = 0
        for index, part in enumerate(self._parts):
            size = part.path.stat().st_size
            if groups and total + size <= _MERGED_BYTES:
                groups[-1] = slice(groups[-1].start, index + 1)
                total += size
            else:
                groups.append(slice(index, index + 1))
                total = size
        return groups

    def _write(self, table: pa.Table, first: int, last: int) -> Part:
        content = encoded(table.cast(self.schema))
        part = named(self._folder, first, last, content)
        with replacing(part.path) as aside:
            aside.write_bytes(content)
        return part


def _damage(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())
    return ValueError(
        f"{path} is damaged ({reason}): restore it, or delete it and run the command that wrote it again, which makes "
        "its rows anew"
    )
