"""What workers store and the sweep takes in."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hyperscale.results.incoming import IncomingWriter, incoming_parts
from hyperscale.results.store import Store
from hyperscale.storage.files import make, read
from tests.results.places import damage, download, files, parts
from tests.results.rows import caps, grade_row, sample_row

Row = dict[str, Any]


def another(thread: int, **changes: Any) -> Row:
    """The same thread, drawn otherwise in its last token: what rounding does."""
    tokens = np.arange(7, dtype=np.int32) + 100 * thread
    tokens[-1] += 50
    return sample_row("p", thread, tokens=tokens, **changes)


def texts(store: Store) -> dict[int, str]:
    frame = store.read("samples", ["thread", "text"])
    assert not frame["thread"].duplicated().any()
    return dict(zip(frame["thread"], frame["text"], strict=True))


@pytest.mark.parametrize("place", ["local", "memory", "s3"], indirect=True)
def test_parts_come_from_workers_into_the_table(store: Store) -> None:
    rows = [sample_row("p", thread, cache_budget=8, permutation=[1, 0]) for thread in range(3)]
    first = IncomingWriter(store.folder, "shard-a").append(rows[:2])
    second = IncomingWriter(store.folder, "shard-b").append(rows[2:])
    assert store.read("samples").empty
    assert store.incoming() == sorted([first, second], key=str) == incoming_parts(store.folder)
    assert incoming_parts(store.folder, "shard-b") == [second]
    frame = store.read_incoming(first, ["thread", "text", "step_reads"])
    assert list(frame.columns) == ["thread", "text", "step_reads"]
    assert frame["thread"].tolist() == [0, 1]
    store.adopt([first])
    assert caps(store) == {("p", 0): 64, ("p", 1): 64}
    store.append("samples", [sample_row("p", 7)])
    store.adopt_all()
    assert [part.name[5:13] for part in parts(store.folder)] == ["00000001", "00000002", "00000003"]
    assert store.incoming() == []
    assert not (store.folder / "incoming").exists()
    expected = store.read("samples")
    store.close()
    with Store(store.folder) as again:
        pd.testing.assert_frame_equal(again.read("samples"), expected)
        for name, value in rows[1].items():
            assert np.array_equal(again.read("samples")[name][1], value), name


def test_columns_that_are_not_there_and_parts_that_are_gone(store: Store) -> None:
    path = IncomingWriter(store.folder, "s").append([sample_row()])
    store.adopt([path])
    store.adopt([path])
    assert store.read_incoming(path, ["thread"]).empty
    assert caps(store) == {("p", 0): 64}
    assert files(store.folder) == [f"samples/{parts(store.folder)[0].name}"]


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_attempts_the_one_that_was_read_first_counts(store: Store, first: int) -> None:
    """It was graded; the other may differ by rounding. Whatever the order in which they are adopted."""
    attempts = [[sample_row("p", t, text="a" * 7) for t in (0, 1)], [another(t, text="b" * 7) for t in (1, 2)]]
    paths = [IncomingWriter(store.folder, "s").append(rows) for rows in attempts]
    for index in (first, 1 - first):
        store.read_incoming(paths[index], ["thread"])
    graded = attempts[first]
    store.append("grades", [grade_row(row) for row in graded])
    store.adopt(sorted(paths, key=str))
    found = texts(store)
    assert found.keys() == {0, 1, 2}
    assert all(found[row["thread"]] == row["text"] for row in graded)
    assert store.keys("grades") == {("run", "t", "p", row["thread"], 64) for row in graded}


def test_a_late_double_voids_no_grade(store: Store) -> None:
    row = sample_row("p", 0)
    store.append("samples", [row, sample_row("p", 1, 32)])
    store.append("grades", [grade_row(row)])
    IncomingWriter(store.folder, "s").append([another(0), another(1), sample_row("p", 2)])
    store.adopt_all()
    for _ in range(2):
        assert caps(store) == {("p", 0): 64, ("p", 1): 64, ("p", 2): 64}
        assert store.read("samples").query("thread == 0")["chain"].tolist() == [row["chain"]]
        assert store.keys("grades") == {("run", "t", "p", 0, 64)}
        store.compact()


def test_grades_of_samples_that_wait_survive_compaction(store: Store, tmp_path: Path) -> None:
    rows = [sample_row("p", thread) for thread in range(3)]
    IncomingWriter(store.folder, "s").append(rows)
    store.append("grades", [grade_row(row) for row in rows])
    store.compact()
    assert len(store.keys("grades")) == 3
    assert len(pd.read_parquet(download(store.folder, tmp_path / "copy") / "grades")) == 3


def test_a_shard_that_runs_again_knows_what_is_there(place: Path) -> None:
    with Store(place):
        pass
    writer = IncomingWriter(place, "s")
    assert writer.done() == (set(), [])
    writer.append([sample_row("p", 0), sample_row("q", 3)])
    damage(writer.append([sample_row("p", 1)]))
    IncomingWriter(place, "other").append([sample_row("p", 2)])
    assert IncomingWriter(place, "s").done()[0] == {("p", 0), ("q", 3)}


def test_a_damaged_part_is_set_aside_and_told(place: Path) -> None:
    told: list[str] = []
    with Store(place, told.append) as store:
        good, bad = (IncomingWriter(place, "s").append([sample_row("p", thread)]) for thread in range(2))
        damage(bad)
        content = read(bad)
        assert store.incoming() == [good]
        assert store.read_incoming(bad, ["thread"]).empty
        assert told == []
        store.adopt_all()
        assert caps(store) == {("p", 0): 64}
        assert told == [f"{bad} was damaged: moved to damaged/; what this sweep needs of its rows is made anew"]
        assert read(place / "damaged" / f"incoming-s-{bad.name}") == content
        store.adopt_all()
        assert len(told) == 1


def test_rows_that_do_not_fit_are_refused_where_they_are_made(place: Path) -> None:
    with Store(place):
        pass
    with pytest.raises(ValueError, match="thread is part of the key"):
        IncomingWriter(place, "s").append([sample_row() | {"thread": None}])
    with pytest.raises(AssertionError):
        IncomingWriter(place, "s").append([sample_row() | {"finish_reason": "eos"}])
    assert files(place) == []


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out is not there on .*: --output-dir has to be a folder that every node"):
        IncomingWriter(tmp_path / "out", "s").append([sample_row()])
    assert not list(tmp_path.iterdir())


def test_a_shard_s_folder_that_goes_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, times = make, iter([True, True, True, False, False])

    def gone(folder: Path) -> None:
        real(folder)
        if folder.name == "s" and next(times):
            folder.rmdir()

    monkeypatch.setattr("hyperscale.results.incoming.make", gone)
    with pytest.raises(ValueError, match="is not there"):
        IncomingWriter(tmp_path, "s").append([sample_row()])
    times = iter([True, False])
    IncomingWriter(tmp_path, "s").append([sample_row()])
    assert len(incoming_parts(tmp_path)) == 1


def test_half_a_file_is_left_alone_until_its_worker_must_be_dead(tmp_path: Path) -> None:
    (tmp_path / "incoming" / "s").mkdir(parents=True)
    old, new = (tmp_path / "incoming" / "s" / f".{name}.parquet.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    with Store(tmp_path) as store:
        store.adopt_all()
    assert not old.exists()
    assert new.exists()
