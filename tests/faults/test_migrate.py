"""Folders of older schema versions become this version's when they are opened: whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hyperscale.figures.data import load
from hyperscale.results.part import encoded, named, parse_name, sound_bytes
from hyperscale.results.rows import KEYS
from hyperscale.results.schema import NEW_COLUMNS, SCHEMA_VERSION
from hyperscale.results.store import Store
from hyperscale.sweep.run import sweep
from tests.extent import extent
from tests.fakes import FakeExecutor, Silent, fake_config, run_fake, write_task
from tests.faults.command import swept
from tests.folders import table
from tests.processes import PROCESSES

STRIDE = extent(5, 1)


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this version, with several parts of samples and of grades."""
    root = tmp_path_factory.mktemp("current")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hyperscale.results.parts._MERGED_BYTES", 1)
        run_fake(fake_config(root / "out", write_task(root, problems=2), grid=((1, 16), (1, 32))))
    return root


@pytest.fixture(params=[3, 4])
def old(current: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The same as an older version wrote it."""
    shutil.copytree(current, tmp_path, dirs_exist_ok=True)
    return as_version(request.param, tmp_path / "out")


def as_version(number: int, folder: Path) -> Path:
    """Version 3 had no digests in names, and neither it nor version 4 all of today's columns."""
    for path in folder.glob("**/*.parquet"):
        name = path.parent.name if path.parent != folder else path.stem
        lacking = [] if number == 4 and name == "grades" else list(NEW_COLUMNS.get(name, ()))
        table = pq.ParquetFile(path).read().drop_columns(lacking)
        path.unlink()
        if path.parent == folder:
            pq.write_table(table, path)
        elif number == 3:
            pq.write_table(table, path.with_name(f"{path.name[:22]}.parquet"), compression="zstd")
        else:
            part = parse_name(path)
            content = encoded(table)
            named(path.parent, part.first, part.last, content).path.write_bytes(content)
    set_version(folder, number)
    return folder


def set_version(folder: Path, version: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": version}, indent=2) + "\n")


def version(folder: Path) -> int:
    return int(json.loads((folder / "manifest.json").read_text())["schema_version"])


def assert_migrated(folder: Path, current: Path, since: int) -> None:
    assert version(folder) == SCHEMA_VERSION
    for name in ("samples", "grades"):
        expected = table(current / "out", name)
        lacked = [] if since == 4 and name == "grades" else list(NEW_COLUMNS[name])
        found = table(folder, name)
        assert found[lacked].isna().all(axis=None)
        pd.testing.assert_frame_equal(found.drop(columns=lacked), expected.drop(columns=lacked))
        assert list(found) == list(expected)
        names = {path.name for path in folder.glob(f"{name}/*")}
        assert len(names) == len(list(current.glob(f"out/{name}/*")))
        for path in folder.glob(f"{name}/*"):
            assert parse_name(path).digest
            sound_bytes(parse_name(path))


def assert_same_but_for_new_columns(left: Path, right: Path) -> None:
    """What an old folder cannot know stays unknown; all else is as it would be in a new one."""
    for name in ("samples", "grades", "outcomes", "points"):
        frames = []
        for folder in (left, right):
            frame = table(folder, name) if name in KEYS else pd.read_parquet(folder / f"{name}.parquet")
            frames.append(frame.drop(columns=list(NEW_COLUMNS[name])))
        pd.testing.assert_frame_equal(frames[0], frames[1])


def test_opening_migrates_once_and_says_so(old: Path, current: Path) -> None:
    since = version(old)
    told: list[str] = []
    for _ in range(2):
        Store(old, told.append).close()
    assert told == [f"{old}: migrated from schema version {since} to {SCHEMA_VERSION}"]
    assert_migrated(old, current, since)
    assert {path.name for path in old.iterdir()} == {path.name for path in (current / "out").iterdir()}


def test_a_sweep_goes_on_in_an_old_folder(old: Path, current: Path) -> None:
    since, task = version(old), old.parent / "toy.toml"
    progress = Silent()
    report = sweep(fake_config(old, task, grid=((1, 32), (3, 16))), FakeExecutor, progress)
    assert any(f"migrated from schema version {since}" in line for line in progress.messages)
    assert report.generated_samples == 2 * 2
    run_fake(fake_config(old.parent / "fresh", task, grid=((1, 32), (3, 16))))
    assert_same_but_for_new_columns(old, old.parent / "fresh")


def test_the_other_tasks_outcomes_of_an_old_folder_are_kept(old: Path) -> None:
    other = write_task(old.parent, problems=2, name="other")
    run_fake(fake_config(old, other, grid=((1, 16), (1, 32))))
    run_fake(fake_config(old.parent / "fresh", old.parent / "toy.toml", grid=((1, 16), (1, 32))))
    run_fake(fake_config(old.parent / "fresh", other, grid=((1, 16), (1, 32))))
    assert_same_but_for_new_columns(old, old.parent / "fresh")


def die_at(call: int, folder: Path) -> None:
    """Open the folder, killed by SIGKILL just before the `call`-th time that it touches the disk for good."""
    left = iter(range(call, -1, -1))
    for name in ("open", "fsync", "replace", "unlink"):
        real = getattr(os, name)

        def deadly(*arguments: object, real=real) -> object:
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        setattr(os, name, deadly)
    Store(folder).close()


def test_a_migration_can_be_killed_at_every_moment(old: Path, current: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.glob("*/*.parquet")}
    since = version(old)
    versions = []
    for call in range(0, 200, STRIDE):
        folder = old.with_name(f"killed-{call}")
        shutil.copytree(old, folder)
        worker = PROCESSES.Process(target=die_at, args=(call, folder))
        worker.start()
        worker.join()
        versions.append(version(folder))
        if versions[-1] == since:
            assert before.items() <= {path.name: path.read_bytes() for path in folder.glob("*/*.parquet")}.items()
        Store(folder, Silent().say).close()
        assert_migrated(folder, current, since)
        shutil.rmtree(folder)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
    assert worker.exitcode == 0
    assert versions == sorted(versions)
    assert versions.count(since) > 5 / STRIDE
    assert versions.count(SCHEMA_VERSION) > 5 / STRIDE


@pytest.mark.parametrize("number", [2, SCHEMA_VERSION + 1, None, "3", 3.0])
def test_other_versions_are_refused_and_left_alone(old: Path, number: object) -> None:
    set_version(old, number)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file() and path.name != ".lock"}
    ended = swept(old, old.parent / "toy.toml")
    assert ended.code == 2
    assert f"schema version {number}; this hyperscale reads versions 3 to {SCHEMA_VERSION}" in ended.error
    assert {path: path.read_bytes() for path in before} == before


def test_figures_read_an_old_folder_without_changing_it(old: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in old.rglob("*")}
    [data] = load(old)
    assert data.titles == {"toy": "Toy"}
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*")} == before


@pytest.mark.parametrize("name", ["samples", "grades"])
def test_a_damaged_part_of_an_old_folder_is_made_anew(old: Path, current: Path, name: str) -> None:
    part = sorted(old.glob(f"{name}/*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-7])
    with pytest.raises(ValueError, match=f"{part.name} is damaged"):
        Store(old, Silent().say)
    progress = Silent()
    sweep(fake_config(old, old.parent / "toy.toml", grid=((1, 16), (1, 32))), FakeExecutor, progress)
    assert any(f"{part} was damaged: moved to damaged/" in line for line in progress.messages)
    assert_same_but_for_new_columns(old, current / "out")


@pytest.mark.parametrize("old", [4], indirect=True)
def test_a_damaged_part_is_not_made_sound_by_its_migration(old: Path) -> None:
    """A name that says what the bytes were must not become one that says what they are."""
    part = sorted(old.glob("samples/*.parquet"))[0]
    rows = pq.ParquetFile(part).read()
    texts = ["x" * len(text) for text in rows["text"].to_pylist()]
    changed = rows.set_column(rows.column_names.index("text"), "text", pa.array(texts))
    part.write_bytes(encoded(changed))
    with pytest.raises(ValueError, match=f"{part.name} is damaged"):
        Store(old, Silent().say)
    with Store(old, Silent().say, tolerant=True) as store:
        assert store.damaged == [part]
        assert not set(texts) & set(store.read("samples", ["text"])["text"])


def test_parts_of_unknown_columns_are_refused(old: Path) -> None:
    part = sorted(old.glob("grades/*.parquet"))[0]
    content = encoded(pa.table({"x": [1]}))
    part.unlink()
    part = named(part.parent, 1, 1, content).path if version(old) == 4 else part
    part.write_bytes(content)
    with Store(old, Silent().say) as store, pytest.raises(ValueError, match=f"{part.name} has other columns"):
        store.read("grades")
