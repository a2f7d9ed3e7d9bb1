"""Show a sweep's progress on stderr: a live table of the W x L grid on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import pandas as pd
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hyperscale.plan.runs import Point, Run
from hyperscale.process.interrupt import LINE_SECONDS
from hyperscale.text import format_time, format_tokens


@dataclass
class Board:
    """Counts of one run on one task: threads finished, tokens generated, outcomes known."""

    title: str
    run: Run
    problems: int
    clock: Callable[[], float] = time.monotonic
    _threads: dict[int, int] = field(default_factory=dict)
    _accuracy: dict[Point, list[float]] = field(default_factory=dict)
    _generated: int = 0
    _generated_caps: int = 0
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def found(self, thread: int) -> None:
        """Count a thread that was stored before this session."""
        self._threads[thread] = self._threads.get(thread, 0) + 1

    def generated(self, thread: int, tokens: int) -> None:
        """Count a newly generated thread."""
        self.found(thread)
        self._generated += tokens
        self._generated_caps += self.run.length_caps[thread]

    def restart(self) -> None:
        """Restart the run's clock."""
        self._started = self.clock()

    def judged(self, outcomes: pd.DataFrame) -> None:
        """Add the outcomes of a problem."""
        for width, length, accuracy in zip(*(outcomes[c] for c in ("width", "length", "accuracy")), strict=True):
            self._accuracy.setdefault((int(width), int(length)), []).append(float(accuracy))

    def share(self, point: Point) -> float:
        """Return the stored part of the point's threads, over all problems, 0..1."""
        width, _ = point
        return sum(self._threads.get(thread, 0) for thread in range(width)) / max(1, width * self.problems)

    def accuracy(self, point: Point) -> float | None:
        """Return the mean accuracy over the problems judged so far, None before the first."""
        found = self._accuracy.get(point)
        return sum(found) / len(found) if found else None

    @property
    def threads_done(self) -> int:
        """Stored threads, generated or found."""
        return sum(self._threads.values())

    @property
    def threads(self) -> int:
        """Threads of the whole run."""
        return len(self.run.length_caps) * self.problems

    @property
    def tokens_per_second(self) -> float:
        """Tokens of this session's finished chains over wall time."""
        return self._generated / max(1e-9, self.clock() - self._started)

    @property
    def seconds_left(self) -> float | None:
        """Seconds for the missing threads, if they reach their caps as others did; None before the first."""
        if not self._generated_caps:
            return None
        missing = sum(
            cap * (self.problems - self._threads.get(thread, 0)) for thread, cap in enumerate(self.run.length_caps)
        )
        return (self.clock() - self._started) * missing / self._generated_caps

    def status(self) -> str:
        """Format the counts, as `17/320 threads, 148 tokens/s, about 12 min left`."""
        left = self.seconds_left
        rest = "" if left is None or self.threads_done >= self.threads else f", about {format_time(left)} left"
        rate = f", {self.tokens_per_second:.0f} tokens/s" if self._generated else ""
        return f"{self.threads_done}/{self.threads} threads{rate}{rest}"


class Progress(Protocol):
    """Receiver of a sweep's progress."""

    def start(self, board: Board) -> None:
        """Show the run that begins."""

    def update(self) -> None:
        """Show the board's new state."""

    def say(self, message: str) -> None:
        """Show a line."""


class Lines:
    """Plain lines: one when a run starts, one every LINE_SECONDS, one when it is complete."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._board: Board | None = None
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, board: Board) -> None:
        """Print the run's title and status."""
        self._board, self._last = board, self._clock()
        self.say(f"{board.title}: {board.status()}")

    def update(self) -> None:
        """Print the status after LINE_SECONDS, and when the last thread is stored."""
        board = self._board
        if board is None:
            return
        if board.threads_done >= board.threads or self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            self.say(f"{board.title}: {board.status()}")

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


class LiveTable:
    """A live table of a row per L and a column per W, with the share done and accuracy in each cell."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._board: Board | None = None
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def start(self, board: Board) -> None:
        """Print the last run's table for good and begin another."""
        if self._board is not None:
            self._console.print(grid_table(self._board))
        self._board = board

    def update(self) -> None:
        """Do nothing: the table is redrawn from the board four times a second."""

    def say(self, message: str) -> None:
        """Print one line above the table."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> Table | Text:
        return Text("loading") if self._board is None else grid_table(self._board)


def grid_table(board: Board) -> Table:
    """Make the W x L table of a run."""
    points = set(board.run.points)
    widths = sorted({width for width, _ in points})
    table = Table(
        title=Text(board.title, style="table.title"),
        caption=board.status(),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("L \\ W", justify="right")
    for width in widths:
        table.add_column(str(width), justify="right")
    for length in sorted({length for _, length in points}):
        cells = [_cell(board, (width, length)) if (width, length) in points else "" for width in widths]
        table.add_row(format_tokens(length), *cells)
    return table


def _cell(board: Board, point: Point) -> str:
    share, accuracy = board.share(point), board.accuracy(point)
    parts = [] if share >= 1 else [f"{int(100 * share)} %"]
    return " ".join(parts if accuracy is None else [*parts, f"[bold]{accuracy:.3f}[/bold]"])


def make_progress() -> Lines | LiveTable:
    """Make a live table where stderr is a terminal, plain lines elsewhere. rich honours NO_COLOR itself."""
    console = Console(stderr=True)
    return LiveTable(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)
