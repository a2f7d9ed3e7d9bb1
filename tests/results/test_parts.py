from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperscale.results.part import encoded, named
from hyperscale.results.store import Store
from hyperscale.storage.files import read
from tests.results.places import download, parts
from tests.results.rows import caps, sample_row


@pytest.mark.parametrize("place", ["local", "memory", "s3"], indirect=True)
def test_a_compacted_folder_read_plainly_is_right(store: Store, tmp_path: Path) -> None:
    for thread in range(5):
        store.append("samples", [sample_row("p", thread, 64), sample_row("q", thread, 64)])
    store.append("samples", [sample_row("p", 2, 128)])
    store.compact()
    assert len(parts(store.folder)) == 1
    plain = pd.read_parquet(download(store.folder, tmp_path / "copy") / "samples")
    pd.testing.assert_frame_equal(plain, store.read("samples"))
    assert len(plain) == 10


def test_compacting_twice_rewrites_nothing(store: Store) -> None:
    for thread in range(3):
        store.append("samples", [sample_row("p", thread)])
    store.compact()
    [part] = parts(store.folder)
    before = part.stat()
    store.compact()
    assert parts(store.folder) == [part]
    assert part.stat() == before


def test_a_large_part_is_left_alone_until_it_holds_a_stale_row(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = local_store
    monkeypatch.setattr("hyperscale.results.parts._MERGED_BYTES", 1)
    for thread in range(3):
        store.append("samples", [sample_row("p", thread), sample_row("q", thread)])
    inodes = {part.name: part.stat().st_ino for part in store.folder.glob("samples/*")}
    store.append("samples", [sample_row("q", 1, 128), sample_row("p", 2, 128), sample_row("q", 2, 128)])
    store.compact()
    after = {part.name: part.stat().st_ino for part in store.folder.glob("samples/*")}
    first, second, third = sorted(inodes)
    assert after[first] == inodes[first]
    assert second not in after
    assert [name[:22] for name in after].count(second[:22]) == 1
    assert third not in after
    assert caps(store) == {
        ("p", 0): 64,
        ("q", 0): 64,
        ("p", 1): 64,
        ("q", 1): 128,
        ("p", 2): 128,
        ("q", 2): 128,
    }


def test_part_names_only_grow(store: Store) -> None:
    names: list[str] = []
    for thread in range(12):
        before = set(parts(store.folder))
        store.append("samples", [sample_row("p", thread)])
        [new] = set(parts(store.folder)) - before
        names.append(new.name)
        if thread % 4 == 3:
            store.compact()
    assert names == sorted(names)
    assert len(set(names)) == 12


def test_hundreds_of_small_parts(store: Store) -> None:
    for thread in range(150):
        store.append("samples", [sample_row("p", thread)])
    assert len(store.keys("samples")) == 150
    store.compact()
    assert len(parts(store.folder)) == 1
    assert len(store.read("samples")) == 150


def test_step_columns_are_small(local_store: Store) -> None:
    store = local_store
    length = 4096
    steps = 90 * np.arange(100, 100 + length, dtype=np.int64)
    noise = np.random.default_rng(0).normal(3000, 200, length).astype(np.int64)
    row = {
        "step_reads": steps,
        "step_live": steps,
        "step_pages": steps // 1440,
        "step_micros": noise,
    }
    store.append("samples", [sample_row("p", t, 8192, generated_tokens=length, **row) for t in range(8)])
    [part] = parts(store.folder)
    group = pq.read_metadata(BytesIO(read(part))).row_group(0)
    sizes = {}
    for index in range(group.num_columns):
        column = group.column(index)
        sizes[column.path_in_schema.split(".")[0]] = column.total_compressed_size / (8 * length)
    assert sizes["step_reads"] < 0.05
    assert sizes["step_live"] < 0.05
    assert sizes["step_pages"] < 0.1
    assert sizes["text_ends"] < 0.05
    assert sizes["step_micros"] < 2


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_damaged_part_is_named(local_store: Store, damage: str) -> None:
    store = local_store
    for thread in range(2):
        store.append("samples", [sample_row("p", thread)])
    part = sorted(store.folder.glob("samples/*"))[1]
    content = part.read_bytes()
    damaged = {"truncate": content[: len(content) // 2], "garbage": b"x" * len(content), "empty": b""}
    part.write_bytes(damaged[damage])
    for use in (lambda: store.keys("samples"), lambda: store.read("samples"), store.compact):
        with pytest.raises(ValueError, match=f"{part.name} is damaged"):
            use()
    store.append("samples", [sample_row("p", 0)])
    part.unlink()
    store.close()
    with Store(store.folder) as again:
        assert again.keys("samples") == {("run", "t", "p", 0)}


def test_damage_inside_the_columns_is_noticed(local_store: Store) -> None:
    store = local_store
    store.append("samples", [sample_row("p", 0, 4096, generated_tokens=2000)])
    [part] = store.folder.glob("samples/*")
    metadata = pq.read_metadata(part).row_group(0)
    content = bytearray(part.read_bytes())
    for index in range(metadata.num_columns):
        start = metadata.column(index).data_page_offset
        content[start : start + 4] = b"\xff" * 4
    part.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        store.read("samples")


def strange_part(folder: Path, first: int, last: int) -> Path:
    """A whole part of a column that no table has."""
    content = encoded(pa.table({"x": [1]}))
    path = named(folder, first, last, content).path
    path.write_bytes(content)
    return path


def test_parts_of_other_columns_and_strange_files_are_refused(local_store: Store) -> None:
    store = local_store
    part = strange_part(store.folder / "samples", 1, 1)
    store.close()
    with Store(store.folder) as again, pytest.raises(ValueError, match="other columns"):
        again.read("samples")
    for name in ("mine.parquet", "part-00000001-00000001.parquet"):
        strange = part.rename(part.with_name(name))
        with pytest.raises(ValueError, match=f"{name} is no part file"):
            Store(store.folder)
        strange.rename(part)


def test_overlapping_parts_are_refused(local_store: Store) -> None:
    store = local_store
    strange_part(store.folder / "samples", 1, 3)
    strange_part(store.folder / "samples", 2, 4)
    store.close()
    with pytest.raises(ValueError, match="overlap"):
        Store(store.folder)


def test_parts_of_one_range_stand_side_by_side_until_they_are_merged(local_store: Store) -> None:
    """As a writer leaves them whose lock was forced away: neither deletes the other's rows."""
    store, folder = local_store, local_store.folder
    store.append("samples", [sample_row("p", 0), sample_row("p", 1, text="first67")])
    [mine] = parts(folder)
    mine.rename(folder / "aside")
    store.close()
    with Store(folder) as other:
        other.append("samples", [sample_row("p", 1, text="later67"), sample_row("p", 2)])
        [others] = parts(folder)
    (folder / "aside").rename(mine)
    assert mine.name[:22] == others.name[:22]
    for _ in range(2):
        with Store(folder) as again:
            assert set(caps(again)) == {("p", 0), ("p", 1), ("p", 2)}
            again.compact()
        [merged] = parts(folder)
        assert merged.name[:22] == mine.name[:22]
