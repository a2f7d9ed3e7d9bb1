"""Files behind a URL, through fsspec; each refusal is one line for the user.

An object store (S3, Google Cloud Storage, ...) puts a file whole or not at all, and renames nothing. Such paths are
universal_pathlib's; they offer what this package needs of pathlib's, and are called Path throughout.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, cast

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""Protocol -> extra of this package that installs its file system."""

_BUCKETS = {*EXTRAS, "az", "abfs", "abfss"}
"""Protocols whose paths begin with a bucket, which is not made on the way."""


_CREATING = threading.Lock()


def is_local(path: Path) -> bool:
    """Tell whether a path is on a disk of this machine, or mounted there."""
    return isinstance(path, Path)


def to_place(place: str | Path) -> Path:
    """Turn a path or URL into a Path; file:// is the local path.

    ValueError where the protocol is unknown, or its package is not installed.
    """
    text = str(place)
    protocol, mark, rest = text.partition("://")
    if not mark:
        return Path(place)
    if protocol in ("file", "local"):
        return Path(rest)
    _require(protocol, text)
    rest = rest.strip("/") if protocol in _BUCKETS else rest.rstrip("/")
    if not rest or (protocol in _BUCKETS and "/" not in rest):
        raise ValueError(f"{text}: name a folder in it, such as {protocol}://{rest or 'bucket'}/sweep")
    from upath import UPath

    options = getattr(place, "storage_options", {})
    with warnings.catch_warnings():
        # A protocol that universal_pathlib was not tried with is no concern of the user's.
        warnings.simplefilter("ignore", UserWarning)
        # Others write beside this process: a remembered listing is wrong.
        return cast(Path, UPath(f"{protocol}://{rest}", **{**options, "use_listings_cache": False}))


def _require(protocol: str, text: str) -> None:
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(protocol)
    except ValueError:
        raise ValueError(f"{text}: no such protocol, {protocol!r}; name a local folder, s3:// or gs://") from None
    except ImportError as error:
        wanted = f"needs pip install 'hyperscale[{EXTRAS[protocol]}]'" if protocol in EXTRAS else str(error)
        raise ValueError(f"{text}: {wanted}") from None


def put(path: Path, content: bytes, *, create: bool = False) -> None:
    """Make or replace a file. With `create`: FileExistsError where it exists; of several writers one succeeds."""
    system, name = _of(path)
    mode = "create" if create else "overwrite"
    # fsspec's memory looks and then writes; it is shared by the threads of one process alone.
    alone = _CREATING if create and _protocol(path) == "memory" else nullcontext()
    with alone, _refusals("write", path):
        try:
            system.pipe_file(name, content, mode=mode)
        except FileNotFoundError:
            if _protocol(path) in _BUCKETS:
                raise
            system.makedirs(name.rsplit("/", 1)[0], exist_ok=True)
            system.pipe_file(name, content, mode=mode)


def get(path: Path) -> bytes:
    """Read a file; FileNotFoundError where there is none."""
    system, name = _of(path)
    with _refusals("read", path, FileNotFoundError):
        return bytes(system.cat_file(name))


def copy(path: Path, target: Path) -> None:
    """Copy a file within a file system, without a download."""
    system, name = _of(path)
    with _refusals("write", target):
        system.cp_file(name, _of(target)[1])


def delete(paths: Sequence[Path]) -> None:
    """Delete files. One that is already gone is fine."""
    for path in paths:
        system, name = _of(path)
        with _refusals("delete", path), suppress(FileNotFoundError):
            system.rm_file(name)


def listed(folder: Path) -> list[Path]:
    """List a folder's files; none where there is no folder."""
    system, name = _of(folder)
    with _refusals("read", folder):
        try:
            found = system.ls(name, detail=True)
        except FileNotFoundError:
            return []
    names = (entry["name"].rstrip("/") for entry in found if entry["type"] == "file")
    return [folder / of.rsplit("/", 1)[-1] for of in names if of.strip("/") != name.strip("/")]


def walked(folder: Path) -> list[str]:
    """List the files below a folder, by their paths within it."""
    system, name = _of(folder)
    with _refusals("read", folder):
        found = system.find(name)
    return sorted(of.strip("/").removeprefix(name.strip("/") + "/") for of in found)


class Copies:
    """Keep local copies of files that never change: each is downloaded once."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hyperscale-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def of(self, path: Path) -> Path:
        """Return the copy of a file; FileNotFoundError where the file is not there."""
        self.fetch([path])
        return self._folder / path.name

    def fetch(self, paths: Sequence[Path]) -> None:
        """Download what is not here yet, concurrently. FileNotFoundError where one is not there."""
        lacking = [path for path in paths if not (self._folder / path.name).exists()]
        if lacking:
            system, _ = _of(lacking[0])
            with _refusals("read", lacking[0].parent, FileNotFoundError):
                system.get([_of(path)[1] for path in lacking], [str(self._folder / path.name) for path in lacking])

    def keep(self, path: Path, content: bytes) -> None:
        """Store bytes that were written or read otherwise as a file's copy."""
        (self._folder / path.name).write_bytes(content)

    def forget(self, paths: Sequence[Path]) -> None:
        """Delete copies."""
        for path in paths:
            (self._folder / path.name).unlink(missing_ok=True)


def _of(path: Path) -> tuple[Any, str]:
    url: Any = path
    with _refusals("reach", path):
        return url.fs, url.path


def _protocol(path: Path) -> str:
    url: Any = path
    return str(url.protocol)


@contextmanager
def _refusals(verb: str, path: Path, *plain: type[Exception]) -> Iterator[None]:
    """Turn an exception into one line for the user; FileExistsError and the `plain` ones pass.

    Every file system raises exceptions of its own and of its HTTP client, so all are caught.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (FileExistsError, *plain)):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"cannot {verb} {path} ({reason}): see that its bucket is there and that this machine may use it, and run "
            "the same command again; what was saved before stays"
        ) from error
