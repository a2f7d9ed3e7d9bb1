"""How far a retrofit is: one line that is rewritten on a terminal, a line every half minute elsewhere. On stderr."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from hyperscale.process.console import LINE_SECONDS
from hyperscale.retrofit.log import Row
from hyperscale.text import format_time

_RECENT = 20
"""Steps whose mean time tells how long the others will take."""


class Progress:
    """Tells of each step; quiet where it has no console (another process tells)."""

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
        """Tell how many rows the model has written; a session's first call is before it writes any."""
        if self._sampling is None:
            self._sampling = done, self._clock()
        before, started = self._sampling
        left = (rows - done) * (self._clock() - started) / max(1, done - before)
        rest = f", about {format_time(left)} left" if before < done < rows else ""
        self._tell(f"sampling: {done:,}/{rows:,} rows{rest}", last=done == rows)

    def warn(self, message: str) -> None:
        """Say what the user should look at."""
        self._say(f"warning: {message}")

    def start(self, step: int, steps: int) -> None:
        """Say where the run stands."""
        self._steps, self._sampling = steps, None
        self._say(f"{step}/{steps} steps done" + (", going on" if 0 < step < steps else ""))

    def update(self, row: Row) -> None:
        """Tell of a step."""
        self._seconds.append(row["seconds"])
        self._tell(self.line(row), last=row["step"] == self._steps)

    def line(self, row: Row) -> str:
        """`step 120/700, CR 2.20, KL 0.0123, given up 0.52 of 0.55, 3,100 tokens/s, about 12 min left`."""
        mean = sum(self._seconds) / len(self._seconds)
        left = self._steps - row["step"]
        rest = f", about {format_time(left * mean)} left" if left else ""
        return (
            f"step {row['step']}/{self._steps}, CR {row['compression_ratio']:.2f}, KL {row['kl']:.4f}, "
            f"given up {row['alpha']:.3f} of {row['alpha_target']:.3f}, "
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
    """Progress on stderr, of the process that leads."""
    return Progress(Console(stderr=True) if leads else None)
