"""The results folder: the experiment on a disk or behind a URL (docs/results.md)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hyperscale.results import manifest
from hyperscale.results.adoption import DAMAGED, Adoption
from hyperscale.results.parts import Parts
from hyperscale.results.rows import KEYS, frame_to_arrow, rows_to_arrow
from hyperscale.results.schema import SAMPLE_KEY, TABLES, arrow_schema
from hyperscale.storage.files import remove, remove_leftovers, write
from hyperscale.storage.lock import hold
from hyperscale.storage.remote import is_local, to_place

_CHAIN_KEY = [*SAMPLE_KEY, "chain"]


class Store:
    """Open a results folder, made where it is missing and locked until `close`.

    A key may be appended more than once. Of a sample the row with the greatest `length_cap` counts, then the latest; of
    a grade the latest of the chain that its sample now holds. `read` and `keys` see only rows that count; `compact`
    deletes the others.

    `told` gets a line about each incoming part that is damaged. ValueError where the folder cannot be written, another
    process holds it, it is of another schema version, or a part of it is damaged; with `tolerant` damaged parts are
    left out, and `set_damaged_aside` is to be called before anything is written.
    """

    def __init__(self, folder: Path, told: Callable[[str], None] | None = None, *, tolerant: bool = False) -> None:
        self.folder = to_place(folder)
        told = told or _tell
        try:
            if is_local(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = hold(self.folder)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        try:
            remove_leftovers(self.folder)
            manifest.read_manifest(self.folder)  # Refuses another schema version before anything is read or cleared.
            self._parts = {table: Parts(self.folder / table, arrow_schema(table), tolerant=tolerant) for table in KEYS}
            self._adoption = Adoption(self.folder, self._parts["samples"], told)
        except OSError as error:
            self._lock.release()
            raise _unwritable(self.folder, error) from error
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unlock the folder; the store may not be used afterwards."""
        self._lock.release()

    @property
    def damaged(self) -> list[Path]:
        """List the parts that a tolerant store left out."""
        return [path for parts in self._parts.values() for path in parts.damaged]

    def set_damaged_aside(self) -> list[str]:
        """Move the damaged parts to `damaged/`; return a line on each, for the user."""
        lines = [
            f"{path} was damaged: moved to {DAMAGED}/; what this sweep needs of its rows is made anew"
            for path in self.damaged
        ]
        for parts in self._parts.values():
            parts.set_damaged_aside(self.folder / DAMAGED)
        return lines

    def append(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows of `samples` or `grades` as one part, whole or not at all; durable on return."""
        self._lock.check()
        if rows:
            self._parts[table].append(rows_to_arrow(table, rows))

    def keys(self, table: str) -> set[tuple[Any, ...]]:
        """Return the keys (SAMPLE_KEY or GRADE_KEY) of the rows that count."""
        alive = self._alive(table, self._rows(table))
        return set(zip(*(alive[name].tolist() for name in KEYS[table]), strict=True))

    def read(self, table: str, columns: list[str] | None = None, *, run_id: str | None = None) -> pd.DataFrame:
        """Read the rows of `samples` or `grades` that count, oldest first; only `columns` and one run if given."""
        parts = self._parts[table]
        names = columns or parts.schema.names
        unknown = set(names) - set(parts.schema.names)
        if unknown:
            raise ValueError(f"{table} has no column {', '.join(sorted(unknown))}")
        tables = [
            parts.read(part, names).filter(pa.array(mask))
            for part, mask in zip(parts, self._masks(table, run_id), strict=True)
            if mask.any()
        ]
        frame: pd.DataFrame = pa.concat_tables([*tables, parts.empty(names)]).to_pandas()
        return frame

    def raise_caps(self, caps: Mapping[tuple[Any, ...], int]) -> None:
        """Raise the `length_cap` of chains that ended by themselves ({SAMPLE_KEY: cap}), without generating.

        A thread is in the pool of L only up to its cap, even if it stopped before: a pool with the early stoppers of a
        small cap but without its cut chains would be biased. So a sweep that extends L raises the caps of chains that
        stopped and generates only the others again. Grades stay valid.
        """
        if not caps:
            return
        self._lock.check()
        parts = self._parts["samples"]
        assert caps.keys() <= self.keys("samples"), "only the cap of a stored chain can be raised"
        for part, mask in zip(list(parts), self._masks("samples"), strict=True):
            keys = parts.read(part, SAMPLE_KEY).to_pandas().itertuples(index=False, name=None)
            wanted = [caps.get(key) if alive else None for key, alive in zip(keys, mask, strict=True)]
            rows = [cap is not None for cap in wanted]
            if not any(rows):
                continue
            table = parts.read(part, parts.schema.names).filter(pa.array(rows))
            raised = pa.array([cap for cap in wanted if cap is not None], pa.int64())
            assert set(table["finish_reason"].to_pylist()) == {"stop"}, "only a chain that stopped keeps"
            assert np.all(raised.to_numpy() >= table["length_cap"].to_numpy()), "a cap is only ever raised"
            parts.append(table.set_column(table.column_names.index("length_cap"), "length_cap", raised))

    def incoming(self) -> list[Path]:
        """List the sound parts that workers stored (IncomingWriter) and that are not adopted yet."""
        return self._adoption.sound_parts()

    def read_incoming(self, path: Path, columns: list[str]) -> pd.DataFrame:
        """Read `columns` of a part that a worker stored; no rows where it is damaged or gone."""
        return self._adoption.read(path, columns)

    def adopt(self, paths: Sequence[Path]) -> None:
        """Move parts that workers stored into `samples`, in the order in which they were first read.

        A row whose key is held is dropped unless its cap is greater, so a graded row goes on to count. Damaged parts
        are moved to `damaged/`, with a line to `told`.
        """
        self._lock.check()
        self._adoption.adopt(paths)

    def adopt_all(self) -> None:
        """Adopt every part that waits, also those of an earlier process that was killed."""
        self._lock.check()
        self._adoption.adopt_all()

    def compact(self) -> None:
        """Merge small parts and drop rows that no longer count, so that plain readers of a folder are right.

        Waiting parts are adopted first; otherwise the grades of their samples would be dropped.
        """
        self.adopt_all()
        for table, parts in self._parts.items():
            parts.merge(self._masks(table))

    def write_table(self, table: str, frame: pd.DataFrame) -> None:
        """Write `outcomes`, `points`, `frontiers` or `gains` as TABLE.parquet, atomically."""
        assert table in TABLES.keys() - KEYS.keys(), f"{table} is no table that is written at once"
        self._lock.check()
        sink = pa.BufferOutputStream()
        pq.write_table(frame_to_arrow(table, frame), sink, compression="zstd", write_page_checksum=True)
        write(self.folder / f"{table}.parquet", sink.getvalue().to_pybytes())

    def write_manifest(self, content: dict[str, Any]) -> None:
        """Write manifest.json with the schema version, atomically."""
        self._lock.check()
        manifest.write_manifest(self.folder, content)

    def read_manifest(self) -> dict[str, Any] | None:
        """Read manifest.json; None in a new folder."""
        return manifest.read_manifest(self.folder)

    def clear(self) -> None:
        """Delete every result; the manifest last, so that an interrupted clear leaves an identified folder."""
        remove([self.folder / f"{table}.parquet" for table in TABLES.keys() - KEYS.keys()])
        for parts in self._parts.values():
            parts.clear()
        self._adoption.clear()
        remove([self.folder / "manifest.json"])

    def _masks(self, table: str, run_id: str | None = None) -> list[NDArray[np.bool_]]:
        """Mask, for each part, the rows that count and belong to `run_id` if given."""
        rows = self._rows(table)
        alive = np.zeros(len(rows), dtype=bool)
        alive[self._alive(table, rows).index] = True
        if run_id is not None:
            alive &= (rows["run_id"] == run_id).to_numpy()
        counts = np.bincount(rows["part"], minlength=len(self._parts[table]))
        return np.split(alive, np.cumsum(counts)[:-1]) if len(counts) else []

    def _alive(self, table: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Select the rows of `_rows(table)` that count, oldest first."""
        if table == "samples":
            rows = rows.sort_values("length_cap", kind="stable")
        else:
            samples = self._alive("samples", self._rows("samples"))
            chains = pd.MultiIndex.from_frame(samples[_CHAIN_KEY])
            rows = rows[pd.MultiIndex.from_frame(rows[_CHAIN_KEY]).isin(chains)]
        return rows.drop_duplicates(list(KEYS[table]), keep="last").sort_index()

    def _rows(self, table: str) -> pd.DataFrame:
        """Read of every row, oldest first, the columns that decide whether it counts; `part` is its part's index."""
        parts = self._parts[table]
        names = [*KEYS[table], "chain", *(["length_cap"] if table == "samples" else [])]
        tables = [parts.remembered(part, names) for part in parts]
        frame: pd.DataFrame = pa.concat_tables([*tables, parts.empty(names)]).to_pandas()
        frame["part"] = np.repeat(np.arange(len(tables)), [rows.num_rows for rows in tables])
        return frame


def _unwritable(folder: Path, error: OSError) -> ValueError:
    return ValueError(f"cannot write to {folder} ({error.strerror or error}): choose another --output-dir")


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
