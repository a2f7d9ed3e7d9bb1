"""What a killed process costs: nothing that was acknowledged. Real processes, real SIGKILLs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hyperscale.results.store import Store
from hyperscale.storage import files
from tests.processes import PROCESSES
from tests.results.rows import grade_row, sample_row


def work(folder: Path, log: Path, start: int) -> None:
    """Append, extend and compact until killed; log a thread once its sample is acknowledged."""
    acknowledged = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    draw = random.Random(start)
    with Store(folder) as store:
        for thread in range(start, start + 100_000, 3):
            rows = [sample_row("p", thread + i, 64, generated_tokens=draw.randint(0, 50)) for i in range(3)]
            store.append("samples", rows)
            os.write(acknowledged, b"".join(b"%8d\n" % row["thread"] for row in rows))
            store.append("grades", [grade_row(row) for row in rows])
            if draw.random() < 0.2:
                store.raise_caps({("run", "t", "p", row["thread"]): 128 for row in rows})
            if draw.random() < 0.3:
                store.compact()


def test_nothing_acknowledged_is_lost_whenever_the_process_is_killed(tmp_path: Path) -> None:
    folder, log = tmp_path / "results", tmp_path / "log"
    draw = random.Random(7)
    for life in range(10):
        start = life * 100_000
        worker = PROCESSES.Process(target=work, args=(folder, log, start))
        worker.start()
        while worker.is_alive() and not (log.exists() and b"%8d\n" % start in log.read_bytes()):
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.2))
        worker.kill()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
        with Store(folder) as store:
            found = store.read("samples", ["thread"])["thread"].tolist()
            graded = store.read("grades", ["thread"])["thread"].tolist()
        assert len(found) == len(set(found))
        assert {int(line) for line in log.read_text().split()} <= set(found)
        assert len(graded) == len(set(graded))
        assert set(graded) <= set(found)
        assert not list(folder.rglob("*.tmp"))
    with Store(folder) as store:
        store.compact()
    assert sorted(pd.read_parquet(folder / "samples")["thread"]) == sorted(found)
    assert sorted(pd.read_parquet(folder / "grades")["thread"]) == sorted(graded)


def grow(store: Store) -> None:
    store.append("samples", [sample_row("p", 9)])


def extend(store: Store) -> None:
    store.raise_caps({("run", "t", "p", thread): 256 for thread in (0, 3)})


def shrink(store: Store) -> None:
    store.compact()


def describe(store: Store) -> None:
    store.write_manifest({"identity": {"model": "new"}})


def die_at(call: int, folder: Path, action: Callable[[Store], None]) -> None:
    """Do `action`, killed by SIGKILL just before the `call`-th time it touches the disk for good."""
    left = iter(range(call, -1, -1))

    def deadly(function: Callable) -> Callable:
        def counted(*args: object) -> object:
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return counted

    store = Store(folder)
    for name in ("open", "fsync", "replace", "unlink"):
        setattr(os, name, deadly(getattr(os, name)))
    action(store)


@pytest.mark.parametrize("action", [grow, extend, shrink, describe])
def test_every_moment_at_which_a_write_can_be_cut_off(tmp_path: Path, action: Callable[[Store], None]) -> None:
    origin = tmp_path / "origin"
    with Store(origin) as store:
        for thread in range(4):
            store.append("samples", [sample_row("p", thread, 64), sample_row("q", thread, 64)])
        store.append("samples", [sample_row("p", 1, 128), sample_row("q", 3, 128)])
        store.append("grades", [grade_row(sample_row("p", thread)) for thread in range(3)])
        store.append("grades", [grade_row(sample_row("p", 2), answer="7")])
        store.write_manifest({"identity": {"model": "old"}})
        before = store.read("samples", ["problem_id", "thread", "text"])
    deaths, leftovers = 0, set()
    for call in range(100):
        folder = tmp_path / f"{call}"
        shutil.copytree(origin, folder)
        worker = PROCESSES.Process(target=die_at, args=(call, folder, action))
        worker.start()
        worker.join()
        deaths += worker.exitcode == -signal.SIGKILL
        leftovers |= {path.name for path in folder.rglob(".*.tmp")}
        with Store(folder) as store:
            assert not list(folder.rglob("*.tmp"))
            rows = store.read("samples", ["problem_id", "thread", "text"])
            kept = rows[rows["thread"] != 9].sort_values(["problem_id", "thread"], ignore_index=True)
            pd.testing.assert_frame_equal(kept, before.sort_values(["problem_id", "thread"], ignore_index=True))
            answers = store.read("grades").set_index("thread")["answer"].to_dict()
            assert answers == {0: "1", 1: "1", 2: "7"}
            assert store.read_manifest() in ({"identity": {"model": "old"}}, {"identity": {"model": "new"}})
            store.compact()
        plain = pd.read_parquet(folder / "samples")
        assert len(plain) == len(rows) == len(plain.drop_duplicates(["problem_id", "thread"]))
        shutil.rmtree(folder)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
    assert worker.exitcode == 0
    assert deaths >= 4
    assert leftovers


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill cannot show a lost page cache; the order of the calls can."""
    calls: list[str] = []
    names: dict[int, str] = {}
    real_open, real_fsync, real_replace = os.open, os.fsync, os.replace

    def spy_open(path: Path, *args: int) -> int:
        descriptor = real_open(path, *args)
        names[descriptor] = Path(path).name
        return descriptor

    def spy_fsync(descriptor: int) -> None:
        calls.append(f"sync {names[descriptor]}")
        real_fsync(descriptor)

    def spy_replace(source: Path, target: Path) -> None:
        calls.append(f"rename {source.name} {target.name}")
        real_replace(source, target)

    with Store(tmp_path / "x") as store:
        monkeypatch.setattr(os, "open", spy_open)
        monkeypatch.setattr(os, "fsync", spy_fsync)
        monkeypatch.setattr(os, "replace", spy_replace)
        store.append("samples", [sample_row(tokens=np.arange(7))])
        [part] = [path.name for path in store.folder.glob("samples/part-00000001-00000001-*.parquet")]
    assert calls == [f"sync .{part}.tmp", f"rename .{part}.tmp {part}", "sync samples"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fill_the_disk() -> None:
        with files.replacing(target) as aside:
            aside.write_text("half")
            raise OSError("no space")

    with pytest.raises(ValueError, match=r"cannot write .*file \(no space\)"):
        fill_the_disk()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"
