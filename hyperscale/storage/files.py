"""Read and write files, on a disk or behind a URL; a file is whole or absent, even if its writer is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hyperscale.storage import remote
from hyperscale.storage.remote import is_local


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside a local `path` to write to; on a clean exit rename it to `path`, durably.

    One writer at a time: the hidden name is fixed, so that a leftover is found again. ValueError where the disk refuses
    (it is full, the folder is gone): `path` is then as it was.
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


def write(path: Path, content: bytes) -> None:
    """Make or replace a file; durable on return. ValueError where it cannot be written."""
    if is_local(path):
        with replacing(path) as aside:
            aside.write_bytes(content)
    else:
        remote.put(path, content)


def read(path: Path) -> bytes:
    """Read a file. FileNotFoundError where there is none; ValueError where a URL's storage does not answer."""
    return path.read_bytes() if is_local(path) else remote.get(path)


def listed(folder: Path, suffix: str = ".parquet") -> list[Path]:
    """List a folder's files that end in `suffix`, without hidden ones; none where there is no folder."""
    paths = folder.glob(f"*{suffix}") if is_local(folder) else remote.listed(folder)
    return sorted(path for path in paths if path.name.endswith(suffix) and not path.name.startswith("."))


def make(folder: Path) -> None:
    """Make a folder within an existing one, durably. Behind a URL there is nothing to make."""
    if is_local(folder) and not folder.is_dir():
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def move(path: Path, target: Path) -> None:
    """Rename a file into an existing folder, durably. Behind a URL: copy, then delete."""
    if not is_local(path):
        remote.copy(path, target)
        remote.delete([path])
        return
    with _refusals(target):
        os.replace(path, target)
        _sync(target.parent)
        if path.parent != target.parent:
            _sync(path.parent)


def remove(paths: Sequence[Path]) -> None:
    """Delete files of one folder, durably. A file that is already gone is fine."""
    if paths and not is_local(paths[0]):
        remote.delete(paths)
        return
    for path in paths:
        with _refusals(path):
            path.unlink(missing_ok=True)
    if paths:
        with _refusals(paths[0].parent):
            _sync(paths[0].parent)


def remove_leftovers(folder: Path) -> None:
    """Delete the hidden files of killed writers. Call it only while no writer can be at work."""
    if is_local(folder):
        remove(sorted(folder.glob(".*.tmp")))


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn an OSError into one line for the user."""
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
