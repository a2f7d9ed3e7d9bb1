from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperscale.results.schema import TABLES, arrow_schema
from hyperscale.results.store import Store
from hyperscale.storage.files import read
from tests.results.places import files, parts
from tests.results.rows import caps, grade_row, sample_row


@pytest.mark.parametrize("place", ["local", "memory", "s3"], indirect=True)
def test_rows_come_back_as_they_were_given(store: Store) -> None:
    row = sample_row("p", 3, text="naïve ∑\n", permutation=[2, 0, 1, 3], cache_budget=128)
    store.append("samples", [row])
    frame = store.read("samples")
    assert list(frame.columns) == arrow_schema("samples").names
    for name, value in row.items():
        assert np.array_equal(frame[name][0], value), name


def test_an_empty_store_reads_as_an_empty_table(store: Store) -> None:
    for table in ("samples", "grades"):
        frame = store.read(table)
        assert list(frame.columns) == arrow_schema(table).names
        assert frame.empty
        assert store.keys(table) == set()
    store.append("samples", [])
    store.compact()
    assert not parts(store.folder)


def test_keys_of_samples_and_grades(store: Store) -> None:
    row = sample_row("p", 1)
    store.append("samples", [row, sample_row("q", 0)])
    store.append("grades", [grade_row(row, 8), grade_row(row, 16)])
    assert store.keys("samples") == {("run", "t", "p", 1), ("run", "t", "q", 0)}
    assert store.keys("grades") == {("run", "t", "p", 1, 8), ("run", "t", "p", 1, 16)}


def test_the_greatest_cap_wins_then_the_latest(store: Store) -> None:
    store.append("samples", [sample_row("p", 0, 64, text="first67"), sample_row("q", 0, 32)])
    store.append("samples", [sample_row("p", 0, 64, text="later67")])
    store.append("samples", [sample_row("p", 0, 32, text="smaller"), sample_row("q", 0, 128)])
    for _ in range(2):
        assert caps(store) == {("p", 0): 64, ("q", 0): 128}
        frame = store.read("samples", ["problem_id", "text"])
        assert frame.set_index("problem_id")["text"]["p"] == "later67"
        store.compact()


def test_a_superseded_chain_voids_its_grades(store: Store) -> None:
    cut = sample_row("p", 0, 12, finish_reason="length")
    longer = sample_row("p", 0, 64, generated_tokens=20)
    store.append("samples", [cut])
    store.append("grades", [grade_row(cut, 12, correct=False)])
    store.append("samples", [longer])
    assert store.keys("grades") == set()
    store.append("grades", [grade_row(longer, 12)])
    for _ in range(2):
        assert store.read("grades", ["length", "correct"]).to_numpy().tolist() == [[12, True]]
        store.compact()


def test_the_latest_grade_of_a_chain_wins(store: Store) -> None:
    row = sample_row()
    store.append("samples", [row])
    store.append("grades", [grade_row(row, 64, "1"), grade_row(row, 8, "1")])
    store.append("grades", [grade_row(row, 64, "2")])
    for _ in range(2):
        grades = store.read("grades").set_index("length")["answer"]
        assert grades.to_dict() == {8: "1", 64: "2"}
        store.compact()


def test_raised_caps_keep_chain_and_grades(store: Store) -> None:
    rows = [sample_row("p", thread, 64) for thread in range(3)]
    store.append("samples", rows[:2])
    store.append("samples", rows[2:])
    store.append("grades", [grade_row(row) for row in rows])
    store.raise_caps({("run", "t", "p", 0): 256, ("run", "t", "p", 2): 128})
    for _ in range(2):
        assert caps(store) == {("p", 0): 256, ("p", 1): 64, ("p", 2): 128}
        assert len(store.read("grades")) == 3
        store.compact()
    cut = sample_row("q", 0, 12, finish_reason="length")
    store.append("samples", [cut])
    for key, cap, message in (("q", 64, "only a chain that stopped"), ("p", 32, "only ever"), ("r", 64, "stored")):
        with pytest.raises(AssertionError, match=message):
            store.raise_caps({("run", "t", key, 0): cap})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pages": 3}, "unknown pages"),
        ({"thread": None}, "thread is part of the key"),
        ({"thread": "first"}, "samples.thread must be int32"),
        ({"thread": 2**40}, "samples.thread must be int32"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(store: Store, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.append("samples", [sample_row() | change])
    assert store.read("samples").empty


def test_a_missing_column_is_named(store: Store) -> None:
    row = sample_row()
    del row["step_reads"]
    with pytest.raises(ValueError, match="misses step_reads"):
        store.append("samples", [row])


@pytest.mark.parametrize(
    "change",
    [
        {"length_cap": 11},
        {"step_live": [1, 2, 3]},
        {"tokens": [9, 9, 9, 9, 9, 9, 9]},
        {"finish_reason": "eos"},
    ],
)
def test_a_chain_that_cannot_be_is_an_assertion(store: Store, change: dict) -> None:
    with pytest.raises(AssertionError):
        store.append("samples", [sample_row() | change])


def test_a_column_that_is_not_there_cannot_be_read(store: Store) -> None:
    with pytest.raises(ValueError, match="samples has no column speed"):
        store.read("samples", ["speed"])


def test_tables_written_at_once(store: Store) -> None:
    frame = pd.DataFrame([{c.name: None if c.type == "string" else 1 for c in TABLES["frontiers"]}])
    frame["model"] = "m"
    store.write_table("frontiers", frame)
    back = pd.read_parquet(BytesIO(read(store.folder / "frontiers.parquet")))
    assert back["model"].tolist() == ["m"]
    assert list(back.columns) == arrow_schema("frontiers").names
    with pytest.raises(ValueError, match="misses cost"):
        store.write_table("frontiers", frame.drop(columns="cost"))
    with pytest.raises(ValueError, match="unknown speed"):
        store.write_table("frontiers", frame.assign(speed=1))
    with pytest.raises(ValueError, match="does not fit"):
        store.write_table("frontiers", frame.assign(cost="cheap"))
    assert files(store.folder) == ["frontiers.parquet"]


@pytest.mark.parametrize("place", ["local", "memory", "s3"], indirect=True)
def test_clear_leaves_an_empty_store(store: Store) -> None:
    row = sample_row()
    store.append("samples", [row])
    store.append("grades", [grade_row(row)])
    store.write_manifest({"identity": {}})
    store.clear()
    assert store.read("samples").empty
    assert store.read_manifest() is None
    store.append("samples", [row])
    assert len(store.read("samples")) == 1


ACTIONS: st.SearchStrategy[tuple[str, list[Any]]] = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 4), st.sampled_from([16, 32, 64])), max_size=4)),
    st.tuples(st.sampled_from(["compact", "reopen"]), st.just([])),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=8))
def test_any_history_reads_like_a_dictionary(tmp_path_factory: pytest.TempPathFactory, actions: list) -> None:
    folder = tmp_path_factory.mktemp("history")
    store = Store(folder)
    expected: dict[int, tuple[int, str]] = {}
    for step, (action, threads) in enumerate(actions):
        if action == "append":
            rows = []
            for place, (thread, cap) in enumerate(threads):
                text = f"{step:03d}.{place:03d}"
                rows.append(sample_row("p", thread, cap, text=text))
                if cap >= expected.get(thread, (0, ""))[0]:
                    expected[thread] = (cap, text)
            store.append("samples", rows)
        elif action == "compact":
            store.compact()
            found = list(folder.glob("samples/*"))
            assert sum(pq.read_metadata(part).num_rows for part in found) == len(expected)
        else:
            store.close()
            store = Store(folder)
        frame = store.read("samples", ["thread", "length_cap", "text"])
        assert len(frame) == len(expected)
        found_rows = zip(frame["length_cap"], frame["text"], strict=True)
        assert dict(zip(frame["thread"], found_rows, strict=True)) == expected
    store.close()
