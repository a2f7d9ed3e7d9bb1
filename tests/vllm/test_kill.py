"""Sweeps as a user runs them: one was killed and goes on; one could not start, and says why in one line."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hyperscale.cli.main import run
from tests.folders import rows, table
from tests.vllm.background import STORED, THREADS, Background, sweep_tiny


def test_a_killed_sweep_takes_vllm_with_it_and_goes_on_where_it_was(
    background: Background, swept: dict[str, Path]
) -> None:
    background.wait_for_kill()
    assert background.stored >= STORED, background.said("killed")
    assert background.seconds_to_end is not None, "vLLM's processes outlived the sweep"
    assert background.seconds_to_end < 10
    folder = background.killed_folder
    before = {(row["problem_id"], row["thread"]): row for row in rows(table(folder, "samples"))}
    assert STORED <= len(before) < THREADS
    assert run(sweep_tiny(folder, "--engine", "vllm")) == 0
    after = {(row["problem_id"], row["thread"]): row for row in rows(table(folder, "samples"))}
    assert len(after) == THREADS
    assert all(after[key]["step_micros"] == row["step_micros"] for key, row in before.items()), "generated again"

    expected = {(row["problem_id"], row["thread"]): row["tokens"] for row in rows(table(swept["vllm"], "samples"))}
    same = sum(after[key]["tokens"] == tokens for key, tokens in expected.items())
    # Seeds are the threads' own; what remains is that rounding depends on who runs beside whom.
    assert same >= 0.98 * len(expected), f"{same} of {len(expected)}"


def test_what_keeps_vllm_from_starting_is_told_in_one_line(background: Background) -> None:
    assert background.exit_code_of_broken() == 2
    out, err = background.said("broken")
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("loading ", "PARTIAL RUN", "countdown | "))]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: vLLM did not start: ")
    assert "safetensor" in lines[0].lower()
    assert "VLLM_LOGGING_LEVEL" in lines[0]


def test_what_the_parent_process_refuses_is_told_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(sweep_tiny(tmp_path / "out", "--engine", "vllm", "--tensor-parallel-size", "3")) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "vLLM did not start: " in said.err
    assert "divisible by tensor parallel size" in said.err
    assert said.err.strip().splitlines()[-1].startswith("error: ")


def test_where_vllm_dies_what_had_ended_is_saved_and_the_rest_comes_later(
    shared_vllm: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last one: its vLLM serves nobody after it."""
    folder = tmp_path / "out"
    killed = threading.Event()

    def kill_in_time() -> None:
        while len(list((folder / "samples").glob("part-*.parquet"))) < STORED:
            time.sleep(0.01)
        for process in psutil.Process().children(recursive=True):
            if process.name() == "VLLM::Worker":
                process.kill()
                killed.set()

    watch = threading.Thread(target=kill_in_time, daemon=True)
    watch.start()
    assert run(sweep_tiny(folder, "--engine", "vllm")) == 2
    assert killed.is_set()
    said = capfd.readouterr().err
    assert said.strip().splitlines()[-1].startswith("error: vLLM ended (finished samples are saved): ")
    assert STORED <= len(table(folder, "samples")) < THREADS
