"""What is killed while it writes behind a URL: at every change of storage, and real processes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hyperscale.config import SweepConfig
from hyperscale.plan.resolve import resolve
from hyperscale.results.store import Store
from hyperscale.storage import remote
from hyperscale.sweep.resume import set_aside
from hyperscale.sweep.run import sweep
from tests.fakes import FakeExecutor, Silent, fake_config, no_spec, run_fake, write_task
from tests.folders import assert_same_results, keys
from tests.processes import PROCESSES
from tests.results.places import (
    Killed,
    abandon,
    bury,
    download,
    files,
    kill_at,
    new_place,
    stored,
)
from tests.results.rows import grade_row, sample_row
from tests.results.test_kill import describe, extend, grow, shrink

GRID = ((1, 16), (2, 16))
STRIDE = {"memory": 1, "s3": 3}
"""Of all moments a slow storage is killed at every third: what is to be done is the same."""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_task(tmp_path, problems=3)


@pytest.fixture
def expected(tmp_path: Path, task: Path) -> Path:
    """The same sweep into a folder on disk."""
    run_fake(fake_config(tmp_path / "expected", task))
    return tmp_path / "expected"


@pytest.mark.parametrize("action", [grow, extend, shrink, describe])
def test_every_change_before_which_a_writer_can_die(tmp_path: Path, action: Callable[[Store], None]) -> None:
    """As on a disk (test_kill.py): what was there before is there after, and the folder read plainly is right."""
    order = ["problem_id", "thread"]
    for count in range(20):
        folder = new_place("memory", tmp_path)
        store = Store(folder)
        for thread in range(4):
            store.append("samples", [sample_row("p", thread, 64), sample_row("q", thread, 64)])
        store.append("samples", [sample_row("p", 1, 128), sample_row("q", 3, 128)])
        store.append("grades", [grade_row(sample_row("p", 2)), grade_row(sample_row("p", 1))])
        store.append("grades", [grade_row(sample_row("p", 2), answer="7")])
        store.write_manifest({"identity": {"model": "old"}})
        before = store.read("samples", [*order, "text"]).sort_values(order, ignore_index=True)
        with pytest.MonkeyPatch.context() as patched:
            kill_at(patched, folder, count)
            try:
                action(store)
                survived = True
            except Killed:
                survived = False
        abandon(store)
        with Store(folder) as again:
            rows = again.read("samples", [*order, "text"])
            kept = rows[rows["thread"] != 9].sort_values(order, ignore_index=True)
            pd.testing.assert_frame_equal(kept, before)
            assert again.read("grades").set_index("thread")["answer"].to_dict() == {1: "1", 2: "7"}
            assert again.read_manifest() in ({"identity": {"model": "old"}}, {"identity": {"model": "new"}})
            again.compact()
        plain = pd.read_parquet(download(folder, tmp_path / f"copy{count}") / "samples")
        assert len(plain) == len(rows) == len(plain.drop_duplicates(order))
        if survived:
            break
    assert survived
    assert count >= 1


@pytest.mark.parametrize("url", ["memory", "s3"], indirect=True)
def test_force_killed_at_every_moment_loses_nothing(
    url: Path, task: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["url"]
    config = fake_config(url, task, grid=GRID)
    run_fake(config)
    old = stored(url)
    for count in range(0, 60, STRIDE[kind]):
        folder = new_place(kind, tmp_path)
        for name, content in old.items():
            remote.put(folder / name, content)
        with pytest.MonkeyPatch.context() as patched:
            kill_at(patched, folder, count)
            try:
                survived = set_aside(folder) is not None
            except Killed:
                survived = False
        bury(folder)
        backups = [folder.with_name(f"{folder.name}.bak-{number}") for number in (1, 2)]
        found = stored(backups[0])
        assert "manifest.json" not in found or found == old, "a backup with a manifest is whole"
        assert {**found, **stored(folder)} == old
        if "manifest.json" not in files(folder) and files(folder):
            with pytest.raises(ValueError, match=r"no manifest\.json"):
                sweep(resolve(config.model_copy(update={"output_dir": folder}), no_spec), FakeExecutor, Silent())
        set_aside(folder)
        assert files(folder) == []
        assert {**stored(backups[1]), **stored(backups[0])} == old
        if survived:
            break
    assert survived


def test_a_sweep_killed_at_any_change_goes_on(url: Path, task: Path, tmp_path: Path, expected: Path) -> None:
    """The process dies at ever later changes of one folder, each time before the next one."""
    log, config = tmp_path / "log", fake_config(url, task)
    survived = False
    for count in [*range(4, 40, 3), 10_000]:
        before = len(remote.walked(url / "samples"))
        with pytest.MonkeyPatch.context() as patched:
            kill_at(patched, url, count)
            try:
                run_fake(config, log)
                survived = True
            except Killed:
                survived = False
        assert len(remote.walked(url / "samples")) >= min(1, before)
        bury(url)
        if survived:
            break
    assert survived
    assert_same_results(download(url, tmp_path / "copy"), expected)


def live(config: SweepConfig, log: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # Where S3 is, which the process that this one is forked from never heard.
    run_fake(config, log, 0.05)


def test_a_driver_on_s3_that_is_killed_loses_nothing_and_waits_for_nothing(
    s3: str, task: Path, tmp_path: Path, expected: Path
) -> None:
    """Real processes, real SIGKILLs: the same command at once goes on from there."""
    folder, log, draw = new_place("s3", tmp_path), tmp_path / "log", random.Random(3)
    before: set[tuple[str, int]] = set()
    for _ in range(3):
        logged = len(keys(log))
        child = PROCESSES.Process(target=live, args=(fake_config(folder, task), log, dict(os.environ)))
        child.start()
        deadline = time.monotonic() + 60
        while child.is_alive() and len(keys(log)) < logged + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        child.kill()
        child.join()
        drawn = keys(log)[logged:]
        assert not before & {(problem, thread) for _, problem, thread in drawn}, "a finished thread was drawn again"
        with Store(folder) as store:
            found = store.read("samples", ["problem_id", "thread"])
            after = set(found.itertuples(index=False, name=None))
        assert before <= after
        assert {(problem, thread) for _, problem, thread in drawn[:-1]} <= after
        before = after
    run_fake(fake_config(folder, task))
    assert_same_results(download(folder, tmp_path / "copy"), expected)
