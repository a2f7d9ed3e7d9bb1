"""Folders of schema version 3 become version 4 when they are opened: whole, or not at all."""

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
from hyperscale.results.schema import SCHEMA_VERSION
from hyperscale.results.store import Store
from hyperscale.sweep import sweep
from tests.fakes import FakeExecutor, Silent, fake_config, run_fake, write_task
from tests.faults.command import swept
from tests.folders import assert_same_results, table
from tests.processes import PROCESSES

NEW = ["strict", "official", "graders_differ"]


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this version, with several parts of samples and of grades."""
    root = tmp_path_factory.mktemp("current")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hyperscale.results.parts._MERGED_BYTES", 1)
        run_fake(fake_config(root / "out", write_task(root, problems=2), grid=((1, 16), (1, 32))))
    return root


@pytest.fixture
def old(current: Path, tmp_path: Path) -> Path:
    """The same as version 3 wrote it."""
    shutil.copytree(current, tmp_path, dirs_exist_ok=True)
    return as_version_3(tmp_path / "out")


def as_version_3(folder: Path) -> Path:
    for path in folder.glob("*/*.parquet"):
        undigested = path.with_name(f"{path.name[:22]}.parquet")
        if path.parent.name == "grades":
            pq.write_table(pq.ParquetFile(path).read().drop_columns(NEW), undigested, compression="zstd")
            path.unlink()
        else:
            path.rename(undigested)
    set_version(folder, 3)
    return folder


def set_version(folder: Path, version: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": version}, indent=2) + "\n")


def version(folder: Path) -> int:
    return int(json.loads((folder / "manifest.json").read_text())["schema_version"])


def assert_migrated(folder: Path, current: Path) -> None:
    assert version(folder) == SCHEMA_VERSION
    for name in ("samples", "grades"):
        pd.testing.assert_frame_equal(table(folder, name), table(current / "out", name))
        names = {path.name for path in folder.glob(f"{name}/*")}
        assert len(names) == len(list(current.glob(f"out/{name}/*")))
        assert not names & {f"{part[:22]}.parquet" for part in names}


def test_opening_migrates_once_and_says_so(old: Path, current: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        Store(old, told.append).close()
    assert told == [f"{old}: migrated from schema version 3 to {SCHEMA_VERSION}"]
    assert_migrated(old, current)
    assert table(old, "grades")[NEW].isna().all(axis=None)
    assert {path.name for path in old.iterdir()} == {path.name for path in (current / "out").iterdir()}


def test_a_sweep_goes_on_in_an_old_folder(old: Path, current: Path) -> None:
    task = old.parent / "toy.toml"
    progress = Silent()
    report = sweep(fake_config(old, task, grid=((1, 32), (3, 16))), FakeExecutor, progress)
    assert any("migrated from schema version 3" in line for line in progress.messages)
    assert report.generated_samples == 2 * 2
    run_fake(fake_config(old.parent / "fresh", task, grid=((1, 32), (3, 16))))
    assert_same_results(old, old.parent / "fresh")


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
    versions = []
    for call in range(200):
        folder = old.with_name(f"killed-{call}")
        shutil.copytree(old, folder)
        worker = PROCESSES.Process(target=die_at, args=(call, folder))
        worker.start()
        worker.join()
        versions.append(version(folder))
        if versions[-1] == 3:
            assert before.items() <= {path.name: path.read_bytes() for path in folder.glob("*/*.parquet")}.items()
        Store(folder, Silent().say).close()
        assert_migrated(folder, current)
        shutil.rmtree(folder)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -signal.SIGKILL
    assert versions == sorted(versions)
    assert versions.count(3) > 5
    assert versions.count(4) > 5


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
    assert_same_results(old, current / "out")


def test_parts_of_unknown_columns_are_refused(old: Path) -> None:
    part = sorted(old.glob("grades/*.parquet"))[0]
    pq.write_table(pa.table({"x": [1]}), part)
    with Store(old, Silent().say) as store, pytest.raises(ValueError, match=f"{part.name} has other columns"):
        store.read("grades")
