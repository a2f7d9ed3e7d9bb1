"""Files that are whole or absent, whatever kills the process that writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path` to write to; on a clean exit it becomes `path`, durably.

    One writer at a time: the hidden name is fixed, so that a dead process's leftover is found again.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        yield aside
        _sync(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def remove(paths: list[Path]) -> None:
    """Delete files of one folder, durably. A file that is already gone is fine."""
    for path in paths:
        path.unlink(missing_ok=True)
    if paths:
        _sync(paths[0].parent)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers left aside in `folder`. Call it only while no writer can be at work."""
    remove(sorted(folder.glob(".*.tmp")))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
