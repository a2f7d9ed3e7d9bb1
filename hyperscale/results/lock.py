"""One writer for a results folder."""

from __future__ import annotations

import fcntl
import os
import socket
import weakref
from pathlib import Path


class FolderLock:
    """Holds `folder`/.lock until `release` or the end of the process, however it ends.

    ValueError, naming the process that holds it, where the folder is locked already. The kernel keeps
    the lock (flock), so a dead process never blocks; the file's text only tells who holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 256, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise ValueError(
                f"{folder} is in use by {owner or 'another process'}: let it end or stop it, "
                "or choose another --output-dir"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise ValueError(
                f"cannot lock {folder} ({error.strerror}): choose an --output-dir whose file system has locks"
            ) from error
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        # A forked worker shares the lock and could outlive this process, so it lets go of it at once.
        forget = weakref.WeakMethod(self._close)
        os.register_at_fork(after_in_child=lambda: (close := forget()) and close())

    def release(self) -> None:
        """Give the folder free. Releasing twice is fine."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
