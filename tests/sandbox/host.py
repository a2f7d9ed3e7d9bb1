"""What on this machine a hostile program could reach, if the sandbox had holes."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Host:
    """Listeners, a secret file, an open folder and a process; `fill` tells programs where."""

    def __init__(self, folder: Path) -> None:
        self.secret = f"canary-{secrets.token_hex(8)}"
        self.canary = folder / "canary.txt"
        self.canary.write_text(self.secret)
        self.canary.chmod(0o644)
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.outside.chmod(0o777)
        self.unix = folder / "socket"
        abstract = f"hyperscale-{secrets.token_hex(8)}"
        self.listeners = [
            _listen(socket.AF_INET, ("127.0.0.1", 0)),
            _listen(socket.AF_UNIX, str(self.unix)),
            _listen(socket.AF_UNIX, f"\0{abstract}"),
        ]
        port6 = 1
        if socket.has_ipv6:
            try:
                self.listeners.append(_listen(socket.AF_INET6, ("::1", 0)))
                port6 = self.listeners[-1].getsockname()[1]
            except OSError:
                pass  # No IPv6 on this machine, so none to escape by.
        self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        self._places = {
            "@PORT@": str(self.listeners[0].getsockname()[1]),
            "@PORT6@": str(port6),
            "@UNIX@": str(self.unix),
            "@ABSTRACT@": abstract,
            "@CANARY@": str(self.canary),
            "@SECRET@": self.secret,
            "@OUTSIDE@": str(self.outside),
            "@HOSTPID@": str(self.process.pid),
            "@HOSTNAME@": socket.gethostname(),
            "@PROJECT@": str(Path(__file__).resolve().parents[2]),
        }

    def fill(self, source: bytes) -> str:
        """A program with this machine's places in it."""
        text = source.decode("utf-8", "surrogateescape")
        for place, value in self._places.items():
            text = text.replace(place, value)
        return text

    def touched(self) -> list[str]:
        """What programs have reached."""
        found = [str(path) for path in self.outside.iterdir()]
        if self.canary.read_text() != self.secret:
            found.append(str(self.canary))
        if self.process.poll() is not None:
            found.append("the host's process")
        for listener in self.listeners:
            try:
                listener.accept()[0].close()
                found.append(f"listener {listener.getsockname()!r}")
            except BlockingIOError:
                continue
        return found

    def close(self) -> None:
        self.process.communicate(b"\n")
        for listener in self.listeners:
            listener.close()


def _listen(family: int, address: object) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(address)  # type: ignore[arg-type]
    listener.listen()
    listener.setblocking(False)
    return listener


@contextmanager
def host(folder: Path) -> Iterator[Host]:
    folder.chmod(0o755)
    made = Host(folder)
    try:
        yield made
    finally:
        made.close()


def left_running(seconds: float = 6.0) -> list[str]:
    """Command lines of programs that a sandbox left, after some time for the kernel to end them.

    Ours are those that descend from this process, and orphans: other workers of pytest start programs meanwhile.
    """
    deadline = time.monotonic() + seconds
    found = _strangers()
    while found and time.monotonic() < deadline:
        time.sleep(0.05)
        found = {process: line for process, line in _strangers().items() if process in found}
    return list(found.values())


def _is_ours(process: int) -> bool:
    """Whether it descends from us, or from nobody who still runs: a sibling's programs descend from our parent."""
    while process > 1 and process != os.getppid():
        if process == os.getpid():
            return True
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process <= 1


def _strangers() -> dict[str, str]:
    """Processes of other PID namespaces: number and start, and command line."""
    own = os.readlink("/proc/self/ns/pid")
    found: dict[str, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if line and os.readlink(f"/proc/{entry}/ns/pid") != own and _is_ours(int(entry)):
                    began = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[19]
                    found[f"{entry} {began}"] = line
            except OSError:
                continue
    return found
