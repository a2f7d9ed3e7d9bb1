"""Adopt the parts that workers stored (incoming.py) into the table of samples; the caller holds the folder's lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hyperscale.results.incoming import INCOMING, SCHEMA, columns_of, incoming_parts, sound
from hyperscale.results.parts import Parts
from hyperscale.results.schema import SAMPLE_KEY
from hyperscale.storage.files import make, move, read, remove
from hyperscale.storage.remote import Copies, is_local

DAMAGED = "damaged"
"""Folder for parts whose bytes are not those that were written."""

_ABANDONED_SECONDS = 3600.0
"""Age from which an unfinished file is a dead worker's."""
_COLUMNS = [*SAMPLE_KEY, "length_cap"]
_Key = tuple[Any, ...]


class Adoption:
    """Read and adopt the parts that wait in a results folder.

    A row is adopted unless the table holds its key with the same or a greater cap.
    """

    def __init__(self, folder: Path, samples: Parts, told: Callable[[str], None]) -> None:
        self._folder = folder
        self._samples = samples
        self._told = told
        self._copies = None if is_local(folder) else Copies()
        self._read: dict[tuple[str, str], int] = {}

    def parts(self) -> list[Path]:
        """List every part that waits, sound or damaged."""
        found = incoming_parts(self._folder)
        if self._copies is not None:
            self._copies.fetch(found)
        return found

    def sound_parts(self) -> list[Path]:
        """List the undamaged parts."""
        return [path for path in self.parts() if self._content(path) is not None]

    def read(self, path: Path, columns: Sequence[str]) -> pd.DataFrame:
        """Read `columns` of a part; no rows where it is damaged or gone."""
        self._read.setdefault(_name(path), len(self._read))
        table = SCHEMA.empty_table().select(list(columns))
        with suppress(FileNotFoundError):
            content = self._content(path)
            if content is not None:
                table = columns_of(content, columns)
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def adopt(self, paths: Sequence[Path]) -> None:
        """Adopt parts in the order in which they were first read, as the first row of a thread was graded.

        A kill at any moment loses nothing: what still waits is adopted later, without the rows that were adopted.
        """
        news: dict[Path, pa.Table | None] = {}
        for path in sorted(paths, key=lambda path: self._read.get(_name(path), len(self._read))):
            with suppress(FileNotFoundError):  # It was adopted before.
                content = self._content(path)
                news[path] = None if content is None else columns_of(content, _COLUMNS)
        held = self._caps(table for table in news.values() if table is not None)
        for path, table in news.items():
            if table is None:
                self._set_aside(path)
            else:
                self._take_in(path, table, held)
        self._forget(paths)

    def adopt_all(self) -> None:
        """Adopt all that waits, and delete the unfinished files of workers that were killed long ago."""
        if is_local(self._folder):
            for path in (self._folder / INCOMING).glob("*/.*.tmp"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                        remove([path])
        self.adopt(self.parts())

    def clear(self) -> None:
        """Delete all that waits."""
        waiting = self.parts()
        for path in waiting:
            remove([path])
        self._forget(waiting)

    def _content(self, path: Path) -> bytes | None:
        """Read a part; None where it is damaged. FileNotFoundError where it is gone."""
        if self._copies is None:
            content = read(path)
            return content if sound(path, content) else None
        for _ in range(2):
            content = self._copies.of(path).read_bytes()
            if sound(path, content):
                return content
            self._copies.forget([path])  # A broken download, perhaps.
        return None

    def _caps(self, tables: Iterable[pa.Table]) -> dict[_Key, int]:
        """Find the greatest cap held of each SAMPLE_KEY, for the problems in `tables`."""
        problems = {problem for table in tables for problem in table["problem_id"].to_pylist()}
        wanted = pa.array(sorted(problems), pa.string())
        held = pa.concat_tables(
            [self._samples.empty(_COLUMNS), *(self._samples.remembered(part, _COLUMNS) for part in self._samples)]
        )
        caps: dict[_Key, int] = {}
        for key, cap in _rows(held.filter(pc.is_in(held["problem_id"], wanted))):
            caps[key] = max(cap, caps.get(key, cap))
        return caps

    def _take_in(self, path: Path, table: pa.Table, held: dict[_Key, int]) -> None:
        """Append the rows of a part that `held` lacks to samples, and enter them there."""
        content = self._content(path)
        assert content is not None, "a part never changes"
        fresh = []
        for key, cap in _rows(table):
            fresh.append(cap > held.get(key, -1))
            held[key] = max(cap, held.get(key, cap))
        if all(fresh):
            self._samples.take_in(path, content)
            return
        if any(fresh):
            self._samples.append(pq.read_table(pa.BufferReader(content)).filter(pa.array(fresh)))
        remove([path])

    def _set_aside(self, path: Path) -> None:
        target = self._folder / DAMAGED / f"incoming-{path.parent.name}-{path.name}"
        make(target.parent)
        move(path, target)
        self._told(f"{path} was damaged: moved to {DAMAGED}/; what this sweep needs of its rows is made anew")

    def _forget(self, paths: Sequence[Path]) -> None:
        """Drop the copies of parts that are gone, and their shards' folders where these are empty."""
        if self._copies is not None:
            self._copies.forget(paths)
        elif paths:
            for folder in [*{path.parent for path in paths}, self._folder / INCOMING]:
                with suppress(OSError):
                    folder.rmdir()


def _name(path: Path) -> tuple[str, str]:
    return path.parent.name, path.name


def _rows(table: pa.Table) -> Iterator[tuple[_Key, int]]:
    """Yield (SAMPLE_KEY, length_cap) of each row."""
    for *key, cap in zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True):
        yield tuple(key), cap
