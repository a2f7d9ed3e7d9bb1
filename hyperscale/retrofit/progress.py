"""What a retrofit prints: progress on stderr, live on a terminal, else a line every half minute; and a final report."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hyperscale.model.spec import GATES
from hyperscale.process.interrupt import LINE_SECONDS
from hyperscale.retrofit.log import Row
from hyperscale.text import format_time

if TYPE_CHECKING:
    from hyperscale.retrofit.run import Report

_RECENT = 20
"""Steps whose mean time extrapolates to the remaining ones."""


class Progress:
    """Progress of sampling and steps; silent without a console (another process prints)."""

    def __init__(self, console: Console | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        live = console is not None and console.is_terminal and not console.is_dumb_terminal
        self._live = Live(Text("loading"), console=console, refresh_per_second=4) if live else None
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._steps, self._last = 0, float("-inf")
        self._sampling: tuple[int, float] | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def sampling(self, done: int, rows: int) -> None:
        """Show the rows sampled; a session calls this first before it samples any."""
        if self._sampling is None:
            self._sampling = done, self._clock()
        before, started = self._sampling
        left = (rows - done) * (self._clock() - started) / max(1, done - before)
        rest = f", about {format_time(left)} left" if before < done < rows else ""
        self._tell(f"sampling: {done:,}/{rows:,} rows{rest}", last=done == rows)

    def warn(self, message: str) -> None:
        """Print a warning."""
        self._say(f"warning: {message}")

    def start(self, step: int, steps: int) -> None:
        """Print the steps done."""
        self._steps, self._sampling = steps, None
        self._say(f"{step}/{steps} steps done" + (", resuming" if 0 < step < steps else ""))

    def update(self, row: Row) -> None:
        """Show a step."""
        self._seconds.append(row["seconds"])
        self._tell(self.line(row), last=row["step"] == self._steps)

    def line(self, row: Row) -> str:
        """Format `step 120/700, CR 2.20, KL 0.0123, alpha 0.520 of 0.550, 3,100 tokens/s, about 12 min left`."""
        mean = sum(self._seconds) / len(self._seconds)
        left = self._steps - row["step"]
        rest = f", about {format_time(left * mean)} left" if left else ""
        return (
            f"step {row['step']}/{self._steps}, CR {row['compression_ratio']:.2f}, KL {row['kl']:.4f}, "
            f"alpha {row['alpha']:.3f} of {row['alpha_target']:.3f}, "
            f"{row['tokens'] / max(row['seconds'], 1e-9):,.0f} tokens/s{rest}"
        )

    def _tell(self, line: str, *, last: bool) -> None:
        if self._live is not None:
            self._live.update(Text(line))
        elif last or self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            self._say(line)

    def _say(self, message: str) -> None:
        if self._console is not None:
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)


def make_progress(leads: bool = True) -> Progress:
    """Make the progress of a process; silent unless it leads."""
    return Progress(Console(stderr=True) if leads else None)


def print_report(report: Report) -> None:
    """Print the family, its members' KL and alpha, and the command that measures the last one."""
    console = Console(soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("checkpoint", "CR", "KL", "alpha", "target"):
        table.add_column(column, justify="left" if column == "checkpoint" else "right")
    for path, found in zip(report.checkpoints, report.reached, strict=True):
        ratio = json.loads((path / GATES).read_text(encoding="utf-8"))["ratio"]
        cells = ("?", "?", "?") if found is None else (f"{found.kl:.4f}", *(f"{share:.3f}" for share in found[1:]))
        table.add_row(path.name, f"{ratio:g}", *cells)
    if report.checkpoints:
        console.print(table)
    for path, found in zip(report.checkpoints, report.reached, strict=True):
        if found is not None and found.missed:
            console.print(f"warning: {found.warning(path.name)}", highlight=False)
    if report.interrupted:
        console.print("Stopped before the end: the state is saved. The same command resumes from it.")
    console.print(f"results: {report.folder}/ (log.parquet, run.json, cr-*/)", highlight=False)
    if report.checkpoints:
        last = report.checkpoints[-1]
        spec = json.loads((last / GATES).read_text(encoding="utf-8"))
        backend = "dmc" if spec["form"] == "dmc" else "dms"
        console.print(
            f"measure it: hyperscale sweep --model {last} --backends {backend} --cr {spec['ratio']:g} --tasks ...",
            highlight=False,
        )
