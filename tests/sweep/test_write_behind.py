"""Rows are stored together, soon, in order, and whatever ends the sweep."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hyperscale.sweep.write_behind import MOST_ROWS, WriteBehind
from tests.fakes import fake_config, run_fake, write_task
from tests.folders import keys, table


class Recorder:
    """A store that notes its parts; `fails` is raised by the next write."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, list[int]]] = []
        self.fails: BaseException | None = None
        self.written = threading.Event()

    def append(self, table: str, rows: list[dict[str, Any]]) -> None:
        if self.fails is not None:
            raise self.fails
        self.parts.append((table, [row["thread"] for row in rows]))
        self.written.set()


def rows(*threads: int) -> list[dict[str, Any]]:
    return [{"thread": thread} for thread in threads]


def threads(stored: list[dict[str, Any]]) -> list[int]:
    return [row["thread"] for row in stored]


def test_the_first_is_stored_at_once_and_those_soon_after_it_together() -> None:
    store = Recorder()
    with WriteBehind(store, seconds=60) as writer:  # type: ignore[arg-type]
        writer.add("samples", rows(0))
        assert store.parts == [("samples", [0])]
        writer.add("samples", rows(1))
        writer.add("samples", rows(2, 3))
        writer.add("grades", rows(0))
        assert len(store.parts) == 1
        assert threads(writer.stored_samples()) == [0]
        writer.flush()
        assert store.parts[1:] == [("samples", [1, 2, 3]), ("grades", [0])]
        assert threads(writer.stored_samples()) == [1, 2, 3]
        assert writer.stored_samples() == []
        writer.add("samples", rows(4))
    assert store.parts[3:] == [("samples", [4])], "leaving stores what waits"


def test_what_waits_is_stored_by_itself() -> None:
    store = Recorder()
    with WriteBehind(store, seconds=0.05) as writer:  # type: ignore[arg-type]
        writer.add("samples", rows(0))
        store.written.clear()
        writer.add("samples", rows(1))
        assert store.written.wait(30)
        assert threads(writer.stored_samples()) == [0, 1]


def test_many_rows_wait_for_no_time() -> None:
    store = Recorder()
    with WriteBehind(store, seconds=60) as writer:  # type: ignore[arg-type]
        writer.add("samples", rows(0))
        for thread in range(1, MOST_ROWS + 1):
            writer.add("samples", rows(thread))
        assert [len(part) for _, part in store.parts] == [1, MOST_ROWS]


def test_an_error_of_the_thread_is_raised_where_rows_are_added() -> None:
    store = Recorder()
    writer = WriteBehind(store, seconds=0.01)  # type: ignore[arg-type]
    writer.add("samples", rows(0))
    store.fails = OSError("disk full")
    thread = 0

    def add_more() -> None:
        nonlocal thread
        while True:
            thread += 1
            writer.add("samples", rows(thread))
            time.sleep(0.001)

    with pytest.raises(OSError, match="disk full"):
        add_more()
    store.fails = None
    writer.close()
    stored = sorted(thread for _, part in store.parts for thread in part)
    assert stored in (list(range(thread)), list(range(thread + 1))), "none that was taken is lost"


def test_nobody_writes_meanwhile() -> None:
    store = Recorder()
    with WriteBehind(store, seconds=0.01) as writer:  # type: ignore[arg-type]
        writer.add("samples", rows(0))
        writer.add("samples", rows(1))
        with writer.alone():
            seen = len(store.parts)
            time.sleep(0.1)
            assert len(store.parts) == seen


def test_a_sweep_stores_few_parts_on_its_way_and_counts_what_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = write_task(tmp_path, problems=20)
    parts: list[int] = []
    append = "hyperscale.results.parts.Parts.append"
    from hyperscale.results.parts import Parts

    original = Parts.append

    def counted(self: Parts, table: Any) -> None:
        parts.append(table.num_rows)
        original(self, table)

    monkeypatch.setattr(append, counted)
    monkeypatch.setattr("hyperscale.sweep.write_behind.SECONDS", 60.0)
    report = run_fake(fake_config(tmp_path / "out", task), tmp_path / "log")
    assert report.generated_samples == len(keys(tmp_path / "log")) == len(table(tmp_path / "out", "samples")) == 80
    assert len(parts) < 20


def test_tables_are_written_while_no_other_thread_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may read samples, whose parts must not change meanwhile."""
    held: list[bool] = []
    writers: list[WriteBehind] = []
    begin = WriteBehind.__init__

    def noted(self: WriteBehind, *arguments: Any) -> None:
        writers.append(self)
        begin(self, *arguments)

    def looked(*_: object) -> bool:
        def look() -> None:
            free = writers[0]._changed.acquire(blocking=False)
            held.append(not free)
            if free:
                writers[0]._changed.release()

        other = threading.Thread(target=look)
        other.start()
        other.join()
        return False

    monkeypatch.setattr(WriteBehind, "__init__", noted)
    monkeypatch.setattr("hyperscale.sweep.tables.Tables.write_if_due", looked)
    run_fake(fake_config(tmp_path / "out", write_task(tmp_path)))
    assert held
    assert all(held)
