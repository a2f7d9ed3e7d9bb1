"""kill -9 at random moments, then the same command: nothing finished is lost, drawn again, or there twice."""

from __future__ import annotations

import json
import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from hyperscale.config import make_config
from hyperscale.plan.grid import length_caps
from hyperscale.results.store import Store
from tests.fakes import fake_config, run_fake, write_task
from tests.folders import assert_same_results, keys, rows, table
from tests.processes import PROCESSES

PROBLEMS = 7
GRID = ((1, 64), (4, 32), (8, 16))
FIRST_GRID = ((6, 16),)

Thread = tuple[str, str, int]


def finished(folder: Path) -> set[Thread]:
    """Threads that need not be drawn again: stored up to the cap that the grid asks for, or ended by themselves."""
    caps = length_caps(GRID)
    with Store(folder) as store:
        samples = store.read("samples")
    assert not samples.duplicated(["run_id", "task", "problem_id", "thread"]).any()
    return {
        (row["task"], row["problem_id"], row["thread"])
        for row in rows(samples)
        if row["finish_reason"] == "stop" or row["length_cap"] >= caps[row["thread"]]
    }


def live(config: Path, log: Path) -> None:
    run_fake(make_config(**json.loads(config.read_text())), log, 0.01)


def start(config: Path, log: Path) -> ForkServerProcess:
    child = PROCESSES.Process(target=live, args=(config, log))
    child.start()
    return child


def wait_for(child: ForkServerProcess, log: Path, lines: int) -> None:
    """Until the child has generated that many threads in all, or is done."""
    while child.is_alive() and len(keys(log)) < lines:
        time.sleep(0.003)


@pytest.mark.parametrize("seed", [1])
def test_a_sweep_survives_being_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder, log, config_file = tmp_path / "out", tmp_path / "log", tmp_path / "config.json"
    task = write_task(tmp_path, problems=PROBLEMS)
    fields: dict[str, Any] = {"model": "fake", "tasks": [str(task)], "grid": GRID, "output_dir": str(folder)}
    config_file.write_text(json.dumps(fields))
    run_fake(fake_config(folder, task, grid=FIRST_GRID, limit=3))

    kills, code = 0, None
    while code is None:
        before, logged = finished(folder), len(keys(log))
        child = start(config_file, log)
        try:
            if kills < 4:
                wait_for(child, log, logged + rng.randint(0, 14))
                time.sleep(rng.uniform(0, 0.03))
            elif kills < 6:  # nothing is left to draw: now while the last grades and the tables are written
                wait_for(child, log, logged + PROBLEMS * 8 - len(before))
                time.sleep(rng.uniform(0, 0.3))
            if kills < 6 and child.is_alive():
                child.kill()
                kills += 1
                child.join(60)
            else:
                child.join(60)
                code = child.exitcode
        finally:
            child.kill()
        drawn, after = keys(log)[logged:], finished(folder)
        assert not before & set(drawn), "a finished thread was drawn again"
        assert before <= after, "a finished thread was lost"
        assert set(drawn[:-1]) <= after, "a thread that the sweep had taken was not on disk"

    assert code == 0
    assert kills >= 4
    run_fake(fake_config(tmp_path / "fresh", task, grid=GRID))
    assert len(table(folder, "samples")) == PROBLEMS * 8
    assert_same_results(folder, tmp_path / "fresh")


def test_a_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    folder, log, config_file = tmp_path / "out", tmp_path / "log", tmp_path / "config.json"
    task = write_task(tmp_path)
    fields: dict[str, Any] = {"model": "fake", "tasks": [str(task)], "grid": GRID, "output_dir": str(folder)}
    config_file.write_text(json.dumps(fields))
    child = start(config_file, log)
    try:
        wait_for(child, log, 1)
        with pytest.raises(ValueError, match=str(child.pid)):
            run_fake(fake_config(folder, task, grid=GRID))
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert len(table(folder, "samples")) == 6 * 8
