"""kill -9 of the whole process group, graders included, at many moments of one sweep; and a second one beside it."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from hyperscale.config import make_config
from hyperscale.plan.runs import length_caps
from hyperscale.results.store import Store
from tests.extent import extent
from tests.fakes import fake_config, run_fake, write_task
from tests.folders import assert_same_results, keys, rows, table
from tests.processes import PROCESSES

PROBLEMS, THREADS = 10, 8
GRID = ((1, 64), (4, 32), (8, 16))
FIRST_GRID = ((6, 16),)
KILLS, CLOSING = extent((3, 1), (30, 6))
"""Of the kills so many fall after the last chain: while grades, tables and merged parts are written."""

Thread = tuple[str, str, int]


def live(fields: dict[str, Any], log: Path) -> None:
    os.setsid()
    run_fake(make_config(**fields), log, 0.004)


def started(fields: dict[str, Any], log: Path) -> ForkServerProcess:
    child = PROCESSES.Process(target=live, args=(fields, log))
    child.start()
    return child


def kill_group(child: ForkServerProcess) -> bool:
    """Kill the child and what it started; whether it had not ended by itself."""
    assert child.pid is not None
    if child.is_alive():
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not got as far as to lead a group
            child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


def finished(folder: Path) -> set[Thread]:
    """Threads that need not be drawn again: stored up to the cap that the grid asks for, or ended by themselves."""
    caps = length_caps(GRID)
    with Store(folder) as store:
        samples = store.read("samples", ["run_id", "task", "problem_id", "thread", "length_cap", "finish_reason"])
    assert not samples.duplicated(["run_id", "task", "problem_id", "thread"]).any()
    return {
        (row["task"], row["problem_id"], row["thread"])
        for row in rows(samples)
        if row["finish_reason"] == "stop" or row["length_cap"] >= caps[row["thread"]]
    }


def test_kills_lose_nothing_and_invent_nothing(tmp_path: Path) -> None:
    rng = random.Random(30)
    folder, log = tmp_path / "out", tmp_path / "log"
    task = write_task(tmp_path, problems=PROBLEMS)
    task.write_text(task.read_text().replace('"integer"', '"math"'))  # whose graders are processes
    fields: dict[str, Any] = {"model": "fake", "tasks": [str(task)], "grid": GRID, "output_dir": str(folder)}
    run_fake(fake_config(folder, task, grid=FIRST_GRID, limit=3))
    total, kills, code = PROBLEMS * THREADS, 0, None
    before = finished(folder)
    while code != 0 or kills < KILLS:
        logged = len(keys(log))
        child = started(fields, log)
        if kills < KILLS - CLOSING:
            goal = min(total, round(total * (kills + rng.random()) / (KILLS - CLOSING)))
            while child.is_alive() and len(keys(log)) < goal:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.01))
        elif kills < KILLS:
            while child.is_alive() and len(before | set(keys(log))) < total:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.3))
        if kills < KILLS:
            kills += kill_group(child)
        child.join(60)
        code = child.exitcode
        drawn, after = keys(log)[logged:], finished(folder)
        assert not before & set(drawn), "a finished thread was drawn again"
        assert before <= after, "a finished thread was lost"
        assert set(drawn[:-1]) <= after, "a thread that the sweep had taken was not on disk"
        before = after
    run_fake(fake_config(tmp_path / "fresh", task, grid=GRID))
    assert len(table(folder, "samples")) == total
    assert_same_results(folder, tmp_path / "fresh")


def test_a_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    folder, log, task = tmp_path / "out", tmp_path / "log", write_task(tmp_path)
    child = started({"model": "fake", "tasks": [str(task)], "grid": GRID, "output_dir": str(folder)}, log)
    try:
        while child.is_alive() and not keys(log):
            time.sleep(0.002)
        with pytest.raises(ValueError, match=str(child.pid)):
            run_fake(fake_config(folder, task, grid=GRID))
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert len(table(folder, "samples")) == 6 * 8
