"""One writer for a results folder behind a URL, where no kernel keeps a lock: an object that is created once.

FOLDER/.lock/holder is JSON and names the process that holds the folder. The store creates it for one process alone (S3:
If-None-Match, Google: generation 0, memory: exclusive open); `release` deletes it; `check` reads it, one request before
each write. A holder that died on this machine is replaced by the next that starts. Only the process that created
FOLDER/.lock/after-T, and then still found T at the end of the chain holder -> after-... that starts at `holder`, may
replace T, a digest of the object's bytes. So of several that take over at once one gets in, and one that dies half-way
is itself taken over.

Guaranteed, where the store creates exclusively and reads what was last written: two processes never both take a folder,
unless a person forces it; a holder whose lock was removed or replaced is refused at its next write. A holder that
sleeps, or that storage does not answer, keeps its lock.

Not guaranteed: a holder that died on another machine (or in another container, or before this machine booted) is not
noticed, as a lease that expires would be: the folder stays locked until `unlock` with `force`. That trusts the person:
of a holder that lives after all, a write that was checked before may still arrive; such a part does no harm
(results/parts.py), and tables are replaced at the end of the next session. The same holds for one that took over and is
forced out in the middle of it. File systems without exclusive creation (FTP, some S3 look-alikes) may let two in that
start in the same moment.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from hyperscale.storage import remote
from hyperscale.storage.holder import Holder

_FOLDER, _HOLDER = ".lock", "holder"
_TRIES = 5


class LockObject:
    """Hold a folder until `release`. ValueError, naming the holder, where that is alive or not known to be dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = os.getpid()
        self._content = Holder.of_this_process().encoded()
        self._released = False
        try:
            self._take()
        except Exception:
            with suppress(ValueError):  # An answer may be lost whose put arrived.
                _free(folder, self._content)
            raise

    def check(self) -> None:
        """ValueError if the lock is not this process's any more. One request."""
        assert not self._released, "the lock was released"
        found = _read(_holder(self._folder))
        if found is None:
            raise ValueError(
                f"{self._folder} was unlocked, moved or deleted while it was in use: put it back and run the same "
                "command again, or begin anew without it"
            )
        if found != self._content:
            raise ValueError(
                f"{self._folder} is in use by {_named(found)}, which took it over: let it end or stop it, or choose "
                "another --output-dir"
            )

    def release(self) -> None:
        """Delete the lock where it is still this process's. Releasing twice is fine."""
        if self._released or os.getpid() != self._pid:
            return  # A forked worker holds nothing.
        self._released = True
        with suppress(ValueError):  # A lock that silent storage keeps is of a dead process soon.
            _free(self._folder, self._content)

    def _take(self) -> None:
        for _ in range(_TRIES):
            if _create(_holder(self._folder), self._content):
                return
            found = _last(self._folder)
            if found is None:
                continue  # It was released meanwhile.
            _require_dead(self._folder, found)
            if _replace(self._folder, found, self._content):
                return
        raise ValueError(f"{self._folder} is in use by another process: let it end, or choose another --output-dir")


def unlock(folder: Path, *, force: bool = False) -> str | None:
    """Remove the lock of a dead process from a folder behind a URL; return its name, or None where nobody held it.

    ValueError where the holder runs on this machine, or on another and `force` does not say that it is dead.
    """
    found = _last(folder)
    if found is None:
        return None
    holder = Holder.parsed(found)
    lives = holder.lives() if holder else None
    if lives:
        raise ValueError(f"{folder} is in use by {holder}, which runs on this machine: let it end or stop it")
    if lives is None and not force:
        raise ValueError(
            f"{folder} is in use by {_named(found)}, and this machine cannot tell whether that is alive: see that "
            f"it is dead, then hyperscale unlock {folder} --force"
        )
    content = Holder.of_this_process().encoded()
    if not _replace(folder, found, content):
        raise ValueError(f"{folder} is being taken over by another process: run the same command again to see by which")
    _free(folder, content)
    return _named(found)


def _free(folder: Path, content: bytes) -> None:
    """Delete the lock object where it is `content`."""
    if _read(_holder(folder)) == content:
        remote.delete([_holder(folder)])


def _require_dead(folder: Path, content: bytes) -> None:
    holder = Holder.parsed(content)
    lives = holder.lives() if holder else None
    if lives is not False:
        hint = "" if lives else f"; if it is dead: hyperscale unlock {folder}"
        raise ValueError(
            f"{folder} is in use by {_named(content)}: let it end or stop it, or choose another --output-dir{hint}"
        )


def _replace(folder: Path, found: bytes, content: bytes) -> bool:
    """Make `content` the holder in place of `found`; False where another did, or `found` holds no more."""
    claim = _after(folder, found)
    if not _create(claim, content):
        return False
    # A claim on a holder that went meanwhile is no part of the chain.
    chain = _chain(folder)
    if not chain or chain[-1][1] != content:
        remote.delete([claim])
        return False
    remote.put(_holder(folder), content)
    with suppress(ValueError):  # What stays of claims is reached from nowhere.
        remote.delete([path for path, _ in chain[1:]])
    return True


def _chain(folder: Path) -> list[tuple[Path, bytes]]:
    """Read the lock object and the take-overs that were begun, in order; the last holds the folder."""
    chain: list[tuple[Path, bytes]] = []
    path = _holder(folder)
    # Objects that a store left empty would follow themselves.
    while (content := _read(path)) is not None and path not in (known for known, _ in chain):
        chain.append((path, content))
        path = _after(folder, content)
    return chain


def _last(folder: Path) -> bytes | None:
    chain = _chain(folder)
    return chain[-1][1] if chain else None


def _create(path: Path, content: bytes) -> bool:
    """Create an object; False where it is there. A put that was sent again because its answer was lost finds itself."""
    try:
        remote.put(path, content, create=True)
    except FileExistsError:
        return _read(path) == content
    return True


def _read(path: Path) -> bytes | None:
    try:
        return remote.get(path)
    except FileNotFoundError:
        return None


def _holder(folder: Path) -> Path:
    return folder / _FOLDER / _HOLDER


def _after(folder: Path, content: bytes) -> Path:
    return folder / _FOLDER / f"after-{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def _named(content: bytes) -> str:
    return str(Holder.parsed(content) or "another process")
