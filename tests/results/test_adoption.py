"""Workers and drivers that die, and parts that come at any moment: nothing is lost, nothing counts twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperscale.results.incoming import IncomingWriter, incoming_parts
from hyperscale.results.store import Store
from tests.results.places import Killed, abandon, download, kill_at, new_place, parts
from tests.results.rows import caps, grade_row, sample_row
from tests.results.test_incoming import another, texts

Row = dict[str, Any]


def test_a_worker_killed_at_every_moment_stores_a_part_or_none(place: Path) -> None:
    with Store(place):
        pass
    held = 0
    for count in range(20):
        writer = IncomingWriter(place, f"s{count}")
        with pytest.MonkeyPatch.context() as patched:
            kill_at(patched, place, count)
            try:
                writer.append([sample_row("p", count)])
                survived = True
            except Killed:
                survived = False
        found, _ = writer.done()
        assert found in ({("p", count)}, set())
        held += len(found)
        if survived:
            assert found
            break
    assert survived
    with Store(place) as store:
        store.adopt_all()
        assert len(caps(store)) == held


@pytest.mark.parametrize("place", ["local", "memory", "s3"], indirect=True)
def test_a_driver_killed_at_every_moment_of_adoption_loses_and_doubles_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, place: Path
) -> None:
    kind = request.node.callspec.params["place"]
    deaths = 0
    for count in range(60):
        folder = new_place(kind, tmp_path / str(count))
        store = Store(folder)
        store.append("samples", [sample_row("p", 0, text="graded0"), sample_row("p", 1, 32, text="shorter")])
        store.append("grades", [grade_row(sample_row("p", 0))])
        worker = IncomingWriter(folder, "s")
        worker.append([another(0, text="another"), another(1, text="longer1"), sample_row("p", 2, text="news222")])
        worker.append([sample_row("p", 3, text="news333")])
        worker.append([another(0, text="another")])
        before = store.read("samples", ["thread"])["thread"].tolist()
        with pytest.MonkeyPatch.context() as patched:
            kill_at(patched, folder, count)
            try:
                store.adopt_all()
                survived = True
            except Killed:
                survived = False
                deaths += 1
        abandon(store)
        with Store(folder) as again:
            assert set(before) <= texts(again).keys()
            again.adopt_all()
            expected = {0: "graded0", 1: "longer1", 2: "news222", 3: "news333"}
            for _ in range(2):
                assert texts(again) == expected
                assert again.keys("grades") == {("run", "t", "p", 0, 64)}
                again.compact()
        assert not incoming_parts(folder)
        plain = pd.read_parquet(download(folder, tmp_path / f"copy{count}") / "samples")
        assert len(plain) == 4
        if survived:
            break
    assert survived
    assert deaths >= 4


ROW = st.tuples(st.integers(0, 3), st.sampled_from([16, 32, 64]))
STEPS: st.SearchStrategy[tuple[str, Any, int]] = st.tuples(
    st.sampled_from(["work", "append", "adopt some", "adopt all", "compact", "reopen"]),
    st.lists(ROW, min_size=1, max_size=3, unique_by=lambda row: row[0]),
    st.integers(0, 12),
)


@pytest.mark.parametrize("kind", ["local", "memory"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=10), trouble=st.sampled_from(["none", "death", "work meanwhile"]))
def test_any_interleaving_loses_no_key_and_doubles_none(
    tmp_path_factory: pytest.TempPathFactory, kind: str, steps: list[tuple[str, Any, int]], trouble: str
) -> None:
    """Workers store, the driver appends, adopts, compacts, dies at any change and comes back.

    What was acknowledged is there at the end with its cap at least; and what counted goes on to count, but for a
    greater cap or, at the same cap, a row that the driver itself appended.
    """
    folder = new_place(kind, tmp_path_factory.mktemp("x"))
    store = Store(folder)
    acknowledged: dict[int, int] = {}
    counted: dict[int, tuple[int, str]] = {}

    def rows(made: list[tuple[int, int]], label: str) -> list[Row]:
        return [sample_row("p", thread, cap, text=f"{label}.{thread}") for thread, cap in made]

    def acknowledge(made: list[tuple[int, int]]) -> None:
        for thread, cap in made:
            acknowledged[thread] = max(cap, acknowledged.get(thread, 0))

    def work(made: list[tuple[int, int]], label: str) -> None:
        IncomingWriter(folder, f"s{made[0][0]}").append(rows(made, label))
        acknowledge(made)

    for number, (step, made, count) in enumerate(steps):
        label = f"{number:05d}"
        appended: dict[int, int] = {}
        with pytest.MonkeyPatch.context() as patched:
            if trouble == "death":
                kill_at(patched, folder, count)
            elif trouble == "work meanwhile" and step != "work":
                kill_at(patched, folder, count, lambda made=made, label=label: work(made, f"{label}+"))  # type: ignore[misc]
            try:
                if step == "work":
                    work(made, label)
                elif step == "append":
                    appended = dict(made)
                    store.append("samples", rows(made, label))
                    acknowledge(made)
                elif step == "adopt some":
                    waiting = store.incoming()[: 1 + count % 3]
                    for path in reversed(waiting):
                        store.read_incoming(path, ["thread"])
                    store.adopt(waiting)
                elif step == "adopt all":
                    store.adopt_all()
                elif step == "compact":
                    store.compact()
                dead = step == "reopen"
            except Killed:
                dead = True
        if dead:
            abandon(store)
            store = Store(folder)
        frame = store.read("samples", ["thread", "length_cap", "text"])
        assert not frame["thread"].duplicated().any()
        now = {row["thread"]: (row["length_cap"], row["text"]) for row in frame.to_dict("records")}
        for thread, (cap, text) in counted.items():
            assert thread in now
            assert now[thread] == (cap, text) or now[thread][0] > cap or now[thread][0] <= appended.get(thread, 0)
        counted = now
    store.compact()
    found = caps(store)
    assert all(found["p", thread] >= cap for thread, cap in acknowledged.items())
    plain = download(folder, tmp_path_factory.mktemp("copy") / "x")
    names = parts(folder)
    assert not names or not pd.read_parquet(plain / "samples")["thread"].duplicated().any()
    assert not incoming_parts(folder)
    store.close()
