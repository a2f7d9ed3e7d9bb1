from __future__ import annotations

import io
from dataclasses import dataclass

import pandas as pd
import pytest
from rich.console import Console

from hyperscale.plan.runs import make_run
from hyperscale.sweep.progress import Board, Lines, LiveTable, make_progress
from hyperscale.text import format_time

RUN = make_run("vanilla", 1.0, None, (64, 32), ((1, 32), (1, 64), (2, 32)))


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def outcome(width: int, length: int, accuracy: float) -> pd.DataFrame:
    return pd.DataFrame({"width": [width], "length": [length], "accuracy": [accuracy]})


def test_board_counts_threads_tokens_and_time() -> None:
    clock = Clock()
    board = Board("toy", RUN, problems=4, clock=clock)
    board.found(0)
    board.found(1)
    assert board.share((1, 64)) == 0.25
    assert board.seconds_left is None
    clock.now = 10
    board.generated(0, 50)
    assert board.tokens_per_second == 5
    assert (board.threads_done, board.threads) == (3, 8)
    assert board.share((1, 64)) == 0.5
    assert board.share((2, 32)) == 3 / 8
    # 64 tokens of caps took 10 s; 2 x 64 and 3 x 32 are missing.
    assert board.seconds_left == pytest.approx(10 * (2 * 64 + 3 * 32) / 64)
    assert board.status() == "3/8 threads, 5 tokens/s, about 35 s left"


def test_board_means_accuracy_over_problems() -> None:
    board = Board("toy", RUN, problems=4)
    assert board.accuracy((2, 32)) is None
    board.judged(outcome(2, 32, 1.0))
    board.judged(outcome(2, 32, 0.5))
    assert board.accuracy((2, 32)) == 0.75


def test_lines_come_at_the_start_each_half_minute_and_at_the_end() -> None:
    clock, out = Clock(), io.StringIO()
    board = Board("toy", RUN, problems=4, clock=clock)
    with Lines(Console(file=out, width=80), clock) as lines:
        lines.start(board)
        for _ in range(7):
            clock.now += 10
            board.generated(0 if board.threads_done < 4 else 1, 5)
            lines.update()
        board.found(1)
        lines.update()
    text = out.getvalue().splitlines()
    assert [line.split(",")[0] for line in text] == [f"toy: {done}/8 threads" for done in (0, 3, 6, 8)]


def test_live_table_shows_the_grid() -> None:
    out = io.StringIO()
    board = Board("toy", RUN, problems=1)
    with LiveTable(Console(file=out, width=80, force_terminal=True, color_system=None)) as table:
        table.start(board)
        board.generated(0, 5)
        board.judged(outcome(1, 64, 0.25))
        table.update()
        table.say("warning: [odd] markup")
    text = out.getvalue()
    assert "warning: [odd] markup" in text
    assert "0.250" in text
    assert "50 %" in text
    assert "1/2 threads" in text


def test_plain_lines_where_stderr_is_no_terminal() -> None:
    assert isinstance(make_progress(), Lines)


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times(seconds: float, text: str) -> None:
    assert format_time(seconds) == text
