"""`hyperscale sweep` in this process, with an executor that fakes chains and does something to the sweep meanwhile."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from hyperscale.cli.main import run
from hyperscale.engines.base import Chain, Job
from hyperscale.plan.resolve import Plan
from hyperscale.plan.runs import Run
from tests.fakes import FakeEngine, FakeExecutor

GRID = ["--widths", "2", "--lengths", "16,32"]


class Ended(NamedTuple):
    """What a user sees of a command."""

    code: int
    told: list[str]
    """Lines on stderr."""

    @property
    def error(self) -> str:
        """The one line that says what went wrong; the last on stderr."""
        [line] = [line for line in self.told if line.startswith("error: ")]
        assert line == self.told[-1]
        assert not any("Traceback" in other for other in self.told)
        return line


def executor(log: Path | None = None, deed: Callable[[], object] | None = None, at: int = 3) -> type[FakeExecutor]:
    """An executor that logs its chains, and does a deed before the chain number `at`."""

    class Engine(FakeEngine):
        def generate(self, jobs: Iterable[Job]) -> Iterator[Chain]:
            for index, chain in enumerate(super().generate(jobs)):
                if deed is not None and index == at:
                    deed()
                yield chain

    class Executor(FakeExecutor):
        def __init__(self, plan: Plan) -> None:
            super().__init__(plan, log)

        def engine(self, run: Run) -> FakeEngine:
            return Engine(self._config.seed, self._log)

    return Executor


def swept(folder: Path, task: Path, kind: type[FakeExecutor] = FakeExecutor, *more: str) -> Ended:
    """Run the command to its end."""
    arguments = ["sweep", "--model", "fake", "-t", str(task), *GRID, "-o", str(folder), *more]
    told = io.StringIO()
    with (
        patch("hyperscale.executors.local.LocalExecutor", kind),
        redirect_stderr(told),
        redirect_stdout(io.StringIO()),
    ):
        code = run(arguments)
    return Ended(code, told.getvalue().splitlines())
