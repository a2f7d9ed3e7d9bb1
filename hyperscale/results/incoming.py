"""Parts that workers on other machines store beside the table of samples, for the driver to adopt.

A worker needs no lock: each part gets a name of its own, `incoming/SHARD/RANDOM-DIGEST.parquet`, written whole or not
at all. So two attempts of one shard, of which one was taken for dead, never touch each other's parts.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hyperscale.results.part import digest_of, encoded
from hyperscale.results.rows import rows_to_arrow
from hyperscale.results.schema import arrow_schema
from hyperscale.storage import remote
from hyperscale.storage.files import listed, make, read, write

INCOMING = "incoming"
"""Folder of the parts that wait."""

_NAME = re.compile(r"[0-9a-f]{16}-([0-9a-f]{16})\.parquet")
_TRIES = 3

SCHEMA = pa.schema([(field.name, field.type) for field in arrow_schema("samples")])


def incoming_parts(folder: Path, shard: str | None = None) -> list[Path]:
    """List the parts that wait in a results folder, of one shard or of all, by shard and name."""
    return [part for of in _shards(folder, shard) for part in listed(of)]


def incoming_part(folder: Path, shard: str, name: str) -> Path:
    """Return the path of a shard's part."""
    return folder / INCOMING / shard / name


class IncomingWriter:
    """Store a shard's samples in a results folder, from any machine that reaches it."""

    def __init__(self, folder: Path, shard: str) -> None:
        self._root = folder
        self._folder = folder / INCOMING / shard

    def append(self, rows: Sequence[dict[str, Any]]) -> Path:
        """Store rows of samples as one part and return its path. Whole or not at all; durable on return.

        ValueError where it cannot be written, or this machine does not see the results folder.
        """
        content = encoded(rows_to_arrow("samples", rows).cast(SCHEMA))
        path = self._folder / f"{secrets.token_hex(8)}-{digest_of(content)}.parquet"
        for _ in range(_TRIES):
            if remote.is_local(self._root) and not self._root.is_dir():
                break
            try:
                make(self._folder.parent)
                make(self._folder)
                write(path, content)
                return path
            except (OSError, ValueError) as error:
                # The driver deletes a shard's folder once it has adopted all that was there.
                if not isinstance(error, FileNotFoundError) and not isinstance(error.__cause__, FileNotFoundError):
                    raise
        raise ValueError(
            f"{self._root} is not there on {socket.gethostname()}: --output-dir has to be a folder that every node of "
            "the cluster sees, or a URL such as s3://bucket/sweep"
        )

    def done(self) -> tuple[set[tuple[str, int]], list[str]]:
        """Return (problem, thread) of every sample in the shard's sound parts, and the names of these parts."""
        threads: set[tuple[str, int]] = set()
        names = []
        for part in listed(self._folder):
            with suppress(OSError):  # Adopted meanwhile, or unreadable: its rows are generated again.
                content = read(part)
                if sound(part, content):
                    problems, numbers = columns_of(content, ["problem_id", "thread"]).columns
                    threads.update(zip(problems.to_pylist(), numbers.to_pylist(), strict=True))
                    names.append(part.name)
        return threads, names


def _shards(folder: Path, shard: str | None) -> list[Path]:
    root = folder / INCOMING
    if shard is not None:
        return [root / shard]
    if remote.is_local(folder):
        return sorted(path for path in root.glob("*") if path.is_dir())
    return sorted({root / name.split("/")[0] for name in remote.walked(root) if "/" in name})


def sound(path: Path, content: bytes) -> bool:
    """Tell whether the bytes have the digest in the part's name, and hold samples."""
    named = _NAME.fullmatch(path.name)
    if named is None or digest_of(content) != named[1]:
        return False
    try:
        return bool(pq.read_schema(pa.BufferReader(content)).equals(SCHEMA))
    except pa.ArrowException:
        return False


def columns_of(content: bytes, columns: Sequence[str]) -> pa.Table:
    """Read `columns` of a sound part, in that order."""
    return pq.read_table(pa.BufferReader(content), columns=list(columns)).select(list(columns))
