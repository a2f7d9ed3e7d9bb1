"""Ctrl-C in a real process: once it saves what is finished and tells how to go on; twice it stops at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest.mock import patch

from hyperscale.cli.main import main
from hyperscale.plan.resolve import Plan
from tests.fakes import FakeExecutor, write_task
from tests.faults.command import GRID, swept
from tests.folders import assert_same_results, table
from tests.processes import PROCESSES

AFTER = 4
"""Chains that are done before the first Ctrl-C."""


class Waiting(FakeExecutor):
    """Its fifth chain takes as long as nobody presses Ctrl-C; then it is there after all."""

    def __init__(self, plan: Plan, signs: Path) -> None:
        super().__init__(plan)
        self.signs, self.chains = signs, 0

    def text(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        self.chains += 1
        if self.chains == AFTER + 1:
            self.wait()
        return super().text(tokens)

    def wait(self) -> None:
        (self.signs / "waiting").touch()
        interrupt = signal.getsignal(signal.SIGINT).__self__  # type: ignore[union-attr]
        while not interrupt.requested:
            time.sleep(0.005)
        (self.signs / "noticed").touch()


class Stuck(Waiting):
    """Goes on waiting."""

    def wait(self) -> None:
        super().wait()
        time.sleep(600)


def live(kind: type[Waiting], folder: Path, task: Path) -> None:
    """`hyperscale sweep` as a program, leading a group of its own, its output in files."""
    os.setsid()
    # Where tests run in the background, Ctrl-C is switched off for them and what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder.with_name(name), os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["hyperscale", "sweep", "--model", "fake", "-t", str(task), *GRID, "-o", str(folder)]
    with (
        patch("hyperscale.executors.local.LocalExecutor.__new__", lambda _, plan: kind(plan, folder.parent)),
        patch("hyperscale.executors.local.LocalExecutor.check", FakeExecutor.check),
    ):
        main()


@contextmanager
def waiting(kind: type[Waiting], folder: Path, task: Path) -> Iterator[ForkServerProcess]:
    """A sweep that is in its fifth chain."""
    child = PROCESSES.Process(target=live, args=(kind, folder, task))
    child.start()
    try:
        wait_for(child, folder.with_name("waiting"))
        yield child
    finally:
        child.kill()
        child.join()


def wait_for(child: ForkServerProcess, sign: Path) -> None:
    while not sign.exists():
        assert child.is_alive(), sign.with_name("err").read_text()
        time.sleep(0.005)


def press(child: ForkServerProcess) -> None:
    """As a terminal does: to the whole group."""
    assert child.pid is not None
    os.killpg(child.pid, signal.SIGINT)


def assert_completes(folder: Path, task: Path) -> None:
    assert "Traceback" not in folder.with_name("err").read_text()
    assert swept(folder, task).code == 0
    swept(folder.with_name("fresh"), task)
    assert_same_results(folder, folder.with_name("fresh"))


def test_ctrl_c_once_saves_what_is_finished_and_tells_how_to_go_on(tmp_path: Path) -> None:
    folder, task = tmp_path / "results", write_task(tmp_path)
    with waiting(Waiting, folder, task) as child:
        press(child)
        child.join(60)
        assert child.exitcode == 130
    said = " ".join((tmp_path / "out").read_text().split())
    assert "Stopped before the end: everything finished is saved. The same command completes it." in said
    assert f"{AFTER + 1} samples" in said
    assert len(table(folder, "samples")) == AFTER + 1, "the chain that was being written down is there, and no other"
    assert (folder / "points.parquet").exists()
    assert_completes(folder, task)


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    folder, task = tmp_path / "results", write_task(tmp_path)
    with waiting(Stuck, folder, task) as child:
        press(child)
        wait_for(child, tmp_path / "noticed")
        press(child)
        child.join(60)
        assert child.exitcode == 130
    assert "the same command goes on from there" in (tmp_path / "err").read_text()
    assert len(table(folder, "samples")) == AFTER
    assert_completes(folder, task)
