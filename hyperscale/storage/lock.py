"""One writer for a results folder: flock on a disk, an object that is created once behind a URL (lock_object.py)."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from hyperscale.storage import lock_object, remote

_ENDING_SECONDS = 5.0
"""Grace period: a child forked by a dead owner may still hold the inherited flock."""


class Lock(Protocol):
    """Keep other writers away from a folder."""

    def check(self) -> None:
        """ValueError if the folder is not this process's any more."""
        ...

    def release(self) -> None:
        """Unlock the folder. Releasing twice is fine."""
        ...


def hold(folder: Path) -> Lock:
    """Lock a folder. ValueError, naming the holder, where another process has it."""
    return FolderLock(folder) if remote.is_local(folder) else lock_object.LockObject(folder)


def unlock(folder: Path, *, force: bool = False) -> str:
    """Remove the lock of a dead process; return what was done, in one line.

    ValueError where the holder runs on this machine, or on another and `force` does not say that it is dead.
    """
    if remote.is_local(folder):
        return f"{folder} is a local folder, whose lock ends with its process: nothing to remove"
    holder = lock_object.unlock(folder, force=force)
    return f"{folder} is not locked" if holder is None else f"removed the lock of {holder} from {folder}"


class FolderLock:
    """Hold `folder`/.lock until `release` or the end of the process, however it ends.

    ValueError, naming the holder, where the folder is locked already. The kernel keeps the lock (flock), so a dead
    process never blocks; the file's text only names the holder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + _ENDING_SECONDS
        try:
            while not _locked(descriptor):
                owner = os.pread(descriptor, 256, 0).decode(errors="replace").strip()
                if not _is_dead(owner) or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise ValueError(
                        f"{folder} is in use by {owner or 'another process'}: let it end or stop it, "
                        "or choose another --output-dir"
                    )
                time.sleep(0.01)
        except OSError as error:
            os.close(descriptor)
            raise ValueError(
                f"cannot lock {folder} ({error.strerror}): choose an --output-dir whose file system has locks"
            ) from error
        self._descriptor = descriptor
        with suppress(OSError):  # On a full disk the lock holds without the holder's name.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        # A forked worker shares the lock and could outlive this process, so it lets go of it at once.
        forget = weakref.WeakMethod(self._close)
        os.register_at_fork(after_in_child=lambda: (close := forget()) and close())

    def check(self) -> None:
        """ValueError if the folder is not the locked one any more: deleted, moved away, or another in its place."""
        assert self._descriptor is not None, "the lock was released"
        try:
            held = os.path.samestat(os.stat(self._folder / ".lock"), os.fstat(self._descriptor))
        except OSError:
            held = False
        if not held:
            raise ValueError(
                f"{self._folder} was moved or deleted while it was in use: put it back and run the same command "
                "again, or begin anew without it"
            )

    def release(self) -> None:
        """Unlock the folder. Releasing twice is fine."""
        if self._descriptor is not None:
            with suppress(OSError):  # The text counts only while the file is locked.
                os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_dead(owner: str) -> bool:
    """Tell whether the process that a lock names ran on this machine and has ended."""
    named = re.fullmatch(r"process (\d+) on (.*)", owner)
    if named is None or named[2] != socket.gethostname():
        return False
    return not psutil.pid_exists(int(named[1]))
