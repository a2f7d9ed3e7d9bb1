"""Sweeps as a user runs them: one was killed and goes on; one could not start, and says why in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperscale.cli import run
from tests.folders import rows, table
from tests.vllm.background import STORED, Background, sweep_tiny


def test_a_killed_sweep_takes_vllm_with_it_and_goes_on_where_it_was(background: Background, tmp_path: Path) -> None:
    background.wait_for_kill()
    assert background.stored >= STORED, background.said("killed")
    assert background.seconds_to_end is not None, "vLLM's processes outlived the sweep"
    assert background.seconds_to_end < 10
    folder = background.killed_folder
    before = {(row["problem_id"], row["thread"]): row for row in rows(table(folder, "samples"))}
    assert STORED <= len(before) < 240
    assert run(sweep_tiny(folder, "--engine", "vllm")) == 0
    after = {(row["problem_id"], row["thread"]): row for row in rows(table(folder, "samples"))}
    assert len(after) == 240
    assert all(after[key]["step_micros"] == row["step_micros"] for key, row in before.items()), "generated again"

    whole = tmp_path / "whole"
    assert run(sweep_tiny(whole, "--engine", "vllm")) == 0
    expected = {(row["problem_id"], row["thread"]): row["tokens"] for row in rows(table(whole, "samples"))}
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
