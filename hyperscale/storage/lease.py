"""One writer for a results folder behind a URL, where no kernel keeps a lock: a lease, renewed while its holder lives.

Leases are numbered files, FOLDER/.lock/N, and the greatest number holds. To take the folder is to make the next one,
which the storage lets one process alone do (S3's If-None-Match, Google's generation 0). It may be made once the one
before it was given up, was not renewed for EXPIRY_SECONDS by the storage's own clock, or is of a process of this
machine that is dead. A holder that could not renew for STALE_SECONDS counts on nothing any more: it has to make the
next number itself, and another that was faster wins.

What this cannot do: stop a request that was sent while the lease held and that the storage carries out minutes later,
or a holder in a virtual machine that stood still without its clock telling. A part that such a one still adds does no
harm (parts.py); a manifest or a table that it still replaces is replaced again at the end of the next session. Where a
file system has no exclusive creation (FTP, some S3 look-alikes) two that start in the same moment may both get in.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil

from hyperscale.storage import remote
from hyperscale.storage.lock import FolderLock

RENEW_SECONDS = 20.0
STALE_SECONDS = 80.0
EXPIRY_SECONDS = 120.0


class Lock(Protocol):
    """What keeps other writers away from a folder."""

    def check(self) -> None:
        """ValueError if the folder is not this process's any more."""
        ...

    def release(self) -> None:
        """Give the folder free. Releasing twice is fine."""
        ...


def hold(folder: Path) -> Lock:
    """Lock a folder. ValueError, naming who holds it, where that is another."""
    return FolderLock(folder) if remote.is_local(folder) else Lease(folder)


class Lease:
    """Holds a folder until `release`, or until it could not be renewed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = os.getpid()
        self._token = secrets.token_hex(8)
        self._renewals = 0
        self._lost: str | None = None
        self._ended = threading.Event()
        self._busy = threading.RLock()
        self._number = 0
        self._renewed = 0.0
        self._take(*self._free())
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def check(self) -> None:
        """ValueError if the folder is another's by now, or was moved or deleted; silent while the lease is fresh."""
        if self._lost is None and not self._is_stale():
            return
        with self._busy:
            if self._lost is None and self._is_stale():
                self._renew()
            if self._lost is not None:
                raise ValueError(self._lost)

    def release(self) -> None:
        """Give the folder free at once, where it is still this process's. Releasing twice is fine."""
        if self._ended.is_set() or os.getpid() != self._pid:
            return  # A forked worker holds nothing.
        self._ended.set()
        with self._busy, suppress(ValueError):  # Storage that is gone keeps nobody out for longer than the lease.
            if self._lost is None and not self._is_stale():
                remote.put(self._file(self._number), self._content(released=True))

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            with self._busy, suppress(ValueError):  # Storage may answer again before the lease is stale.
                if self._lost is None and not self._ended.is_set():
                    self._renew()

    def _renew(self) -> None:
        """Prove to be alive, and find out whether the folder is still this process's. ValueError: storage is silent."""
        if self._is_stale():
            try:
                self._take(self._number, None)
            except _Taken as error:
                self._lost = str(error)
            return
        began = _clock()
        if self._read(self._number).get("token") != self._token:
            self._lose()
            return
        self._renewals += 1
        remote.put(self._file(self._number), self._content())
        # In this order: whoever takes the folder makes its number and then looks for a renewal.
        if self._newest() != self._number:
            self._lose()
        self._renewed = began

    def _lose(self) -> None:
        newest = self._newest()
        if newest > self._number:
            self._lost = str(self._taken(newest))
        else:
            self._lost = (
                f"{self._folder} was moved or deleted while it was in use: put it back and run the same command "
                "again, or begin anew without it"
            )

    def _free(self) -> tuple[int, dict[str, Any]]:
        """The newest number, whose holder has gone, and what it says; 0 where there was none. ValueError where held."""
        newest = self._newest()
        lease = self._read(newest) if newest else {}
        if not newest or lease.get("released") or _is_dead(lease):
            return newest, lease
        age = self._age(newest)
        if age is None:
            raise ValueError(
                f"{self._folder} is in use by {_owner(lease)}: let it end or stop it; if it is dead, delete "
                f"{self._file(newest)}, as this file system keeps no times"
            )
        if age < EXPIRY_SECONDS:
            raise ValueError(
                f"{self._folder} is in use by {_owner(lease)}: let it end or stop it, or choose another --output-dir; "
                f"if it is dead, the folder is free in {EXPIRY_SECONDS - age:.0f} seconds"
            )
        return newest, lease

    def _take(self, newest: int, gone: dict[str, Any] | None) -> None:
        """Make the number after `newest`. ValueError where another does, or where `newest` is not as it was judged."""
        began, number = _clock(), newest + 1
        try:
            remote.put(self._file(number), self._content(), create=True)
        except FileExistsError:
            # A put that was sent again because its answer was lost finds itself.
            if self._read(number).get("token") != self._token:
                raise self._taken(number) from None
        # In this order, against `_renew`: of one that takes and one that renews at the same time, none goes on unaware.
        renewed = gone is not None and newest > 0 and self._read(newest) not in (gone, {})
        if renewed or self._newest() != number:
            remote.delete([self._file(number)])
            raise self._taken(self._newest())
        remote.delete([self._file(old) for old in self._numbers() if old < number])
        self._number, self._renewed = number, began

    def _is_stale(self) -> bool:
        return _clock() - self._renewed > STALE_SECONDS

    def _age(self, number: int) -> float | None:
        """Seconds since a lease was renewed, all by the storage's clock; None where that keeps no times."""
        probe = self._folder / ".lock" / f"now-{self._token}"
        remote.put(probe, b"")
        try:
            now, then = remote.modified(probe), remote.modified(self._file(number))
        except FileNotFoundError:
            raise self._taken(self._newest()) from None
        finally:
            remote.delete([probe])
        return None if now is None or then is None else (now - then).total_seconds()

    def _numbers(self) -> list[int]:
        names = (path.name for path in remote.listed(self._folder / ".lock"))
        return [int(name) for name in names if name.isdecimal()]

    def _newest(self) -> int:
        return max(self._numbers(), default=0)

    def _file(self, number: int) -> Path:
        return self._folder / ".lock" / f"{number:08d}"

    def _content(self, *, released: bool = False) -> bytes:
        return json.dumps(
            {
                "token": self._token,
                "owner": f"process {self._pid} on {socket.gethostname()}",
                "process": self._pid,
                "machine": _machine(),
                "renewals": self._renewals,
                "released": released,
            }
        ).encode()

    def _read(self, number: int) -> dict[str, Any]:
        """What a lease says; {} where there is none, or nothing that can be read."""
        with suppress(FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            found = json.loads(remote.get(self._file(number)))
            return found if isinstance(found, dict) else {}
        return {}

    def _taken(self, number: int) -> _Taken:
        return _Taken(
            f"{self._folder} is in use by {_owner(self._read(number))}, which took it over: let it end or stop it, or "
            "choose another --output-dir"
        )


class _Taken(ValueError):
    """Another process has the folder."""


def _owner(lease: dict[str, Any]) -> str:
    return str(lease.get("owner", "another process"))


def _is_dead(lease: dict[str, Any]) -> bool:
    """Whether a lease's process ran on this machine, and is not there any more."""
    if not _machine() or lease.get("machine") != _machine() or type(lease.get("process")) is not int:
        return False
    return not psutil.pid_exists(lease["process"])


def _machine() -> str:
    """This boot of this kernel, and the namespace in which process ids mean something; empty where that is not told."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _clock() -> float:
    """Seconds that also pass while the machine sleeps, where its system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
