"""Files that are whole or absent, whatever kills the process that writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path` to write to; on a clean exit it becomes `path`, durably.

    One writer at a time: the hidden name is fixed, so that a dead process's leftover is found again. ValueError where
    the disk refuses (it is full, the folder is gone): `path` is then as it was.
    """
    aside = path.with_name(f".{path.name}.tmp")
    with _refusals(path):
        try:
            yield aside
            _sync(aside)
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        _sync(path.parent)


def move(path: Path, target: Path) -> None:
    """Rename a file, durably, into a folder that is there."""
    with _refusals(target):
        os.replace(path, target)
        _sync(target.parent)
        if path.parent != target.parent:
            _sync(path.parent)


def remove(paths: list[Path]) -> None:
    """Delete files of one folder, durably. A file that is already gone is fine."""
    for path in paths:
        with _refusals(path):
            path.unlink(missing_ok=True)
    if paths:
        with _refusals(paths[0].parent):
            _sync(paths[0].parent)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers left aside in `folder`. Call it only while no writer can be at work."""
    remove(sorted(folder.glob(".*.tmp")))


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """What the disk refuses as one line for the user."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"cannot write {path} ({error.strerror or error}): put that right and run the same command again; "
            "what was saved before stays"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
